"""`prefectlite delete`."""

from __future__ import annotations

import click

from prefectlite.cli.asking import asking, place
from prefectlite.cli.many_runs import change, condition, filters
from prefectlite.client import questions
from prefectlite.errors import NotFound

_DELETE = "mutation ($id: UUID!) { delete_project(input: {project_id: $id}) { success } }"


@click.group("delete")
def command() -> None:
    """Delete something: a project, or flow runs."""


@command.command("project")
@click.argument("name")
@asking
def project(name: str, database: str | None, api: str | None) -> None:
    """Delete the project NAME, its flows and all of their runs."""
    where = place(database, api)
    found = where.ask(questions.PROJECT, name=name)["project"]
    if not found:
        raise NotFound(f"There is no project {name!r}")
    where.ask(_DELETE, id=found[0]["id"])
    click.echo(f"{name} deleted")


@command.command("flow-runs")
@filters
@asking
def flow_runs(
    where: str | None,
    flow: str | None,
    states: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    database: str | None,
    api: str | None,
) -> None:
    """Delete flow runs and all that is known of them. Those that are executed stay: cancel them first."""
    meant = condition(where, flow, states)
    if meant is None:
        raise click.UsageError("Say which runs are meant: --where, --flow, --state")
    change("delete_flow_runs", "deleted", meant, place(database, api), dry_run=dry_run, yes=yes)
