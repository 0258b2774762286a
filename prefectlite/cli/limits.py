"""`prefectlite limits`: how many runs with a tag or a label run at once."""

from __future__ import annotations

import click

from prefectlite.cli.asking import asking, place
from prefectlite.cli.tables import OUTPUT, show
from prefectlite.errors import BadRequest, NotFound

_LIST = """
query {
  task_tag_limit(order_by: {tag: asc, seconds: asc}) { id tag limit seconds used }
  flow_concurrency_limit(order_by: {name: asc, seconds: asc}) { id name limit seconds used }
}
"""
_SET = {
    "tag": "mutation ($input: update_task_tag_limit_input!) { update_task_tag_limit(input: $input) { id } }",
    "label": """
    mutation ($input: update_flow_concurrency_limit_input!) { update_flow_concurrency_limit(input: $input) { id } }
    """,
}
_DELETE = {
    "tag": "mutation ($id: UUID!) { delete_task_tag_limit(input: {limit_id: $id}) { success } }",
    "label": "mutation ($id: UUID!) { delete_flow_concurrency_limit(input: {limit_id: $id}) { success } }",
}
_TAG = click.option("--tag", help="Of task runs whose task has this tag.")
_LABEL = click.option("--label", help="Of flow runs with this label.")
_SECONDS = click.option("--per", "seconds", type=click.IntRange(0), default=0, help="Let so many begin in so many seconds.")


@click.group("limits")
def command() -> None:
    """Concurrency limits: how many runs with a tag or a label run at once. The others wait."""


@command.command("list")
@asking
@OUTPUT
def list_(database: str | None, api: str | None, output: str) -> None:
    """List all limits, and how many slots of each are used now."""
    found = place(database, api).ask(_LIST)
    rows = [("tag", row["tag"], row) for row in found["task_tag_limit"]]
    rows += [("label", row["name"], row) for row in found["flow_concurrency_limit"]]
    cells = [
        (on, name, row["limit"], f"{row['seconds']} s" if row["seconds"] else "", row["used"]) for on, name, row in rows
    ]
    show(["ON", "NAME", "LIMIT", "PER", "USED"], cells, output)


@command.command("set")
@click.argument("limit", type=click.IntRange(0))
@_TAG
@_LABEL
@_SECONDS
@asking
def set_(limit: int, tag: str | None, label: str | None, seconds: int, database: str | None, api: str | None) -> None:
    """Let LIMIT runs with a tag or a label run at once, from now on; with 0, none begins."""
    kind, name = _named(tag, label)
    given = {kind: name, "limit": limit, "seconds": seconds}
    place(database, api).ask(_SET[kind], input=given)
    click.echo(f"{kind} {name}: {limit} {f'in {seconds} s' if seconds else 'at once'}")


@command.command("delete")
@_TAG
@_LABEL
@asking
def delete(tag: str | None, label: str | None, database: str | None, api: str | None) -> None:
    """Limit runs with a tag or a label no more."""
    kind, name = _named(tag, label)
    where = place(database, api)
    found = where.ask(_LIST)["task_tag_limit" if kind == "tag" else "flow_concurrency_limit"]
    ids = [row["id"] for row in found if row["tag" if kind == "tag" else "name"] == name]
    if not ids:
        raise NotFound(f"There is no concurrency limit of {kind} {name!r}")
    for limit_id in ids:
        where.ask(_DELETE[kind], id=limit_id)
    click.echo(f"{kind} {name}: no limit")


def _per(seconds: int) -> str:
    return f"{seconds} s" if seconds else ""


def _named(tag: str | None, label: str | None) -> tuple[str, str]:
    if (tag is None) == (label is None):
        raise BadRequest("Say what is limited: --tag or --label")
    return ("tag", tag) if tag is not None else ("label", str(label))
