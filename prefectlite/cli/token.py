"""`prefectlite token`: who may use the API of a server that asks for tokens."""

from __future__ import annotations

from typing import Any

import click

from prefectlite.cli.asking import Place, asking, place
from prefectlite.cli.tables import OUTPUT, age, show
from prefectlite.cli.values import moment
from prefectlite.client import questions
from prefectlite.errors import NotFound
from prefectlite.roles import GIVEN

_COLUMNS = "id name role labels projects secrets created expires_at last_used revoked_at"
_LIST = f"query {{ api_token(order_by: {{created: asc}}) {{ {_COLUMNS} }} }}"
_CREATE = "mutation ($input: create_api_token_input!) { create_api_token(input: $input) { id token } }"
_REVOKE = "mutation ($id: UUID!) { revoke_api_token(input: {token_id: $id}) { success } }"


@click.group("token")
def command() -> None:
    """Tokens for the API: who has one shows it as `Authorization: Bearer …`, or in the setting api_token."""


@command.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice([str(role) for role in GIVEN]), required=True, help="What it is for.")
@click.option("-l", "--label", "labels", multiple=True, help="Of an agent: it has some of these labels, and no others.")
@click.option("-p", "--project", "projects", multiple=True, help="Of an agent: it takes runs of these projects only.")
@click.option("-s", "--secret", "secrets", multiple=True, help="Of an agent: it reads these secrets only (db-* for many).")
@click.option("--no-secrets", is_flag=True, help="Of an agent: it reads no secrets.")
@click.option("--expires", metavar="30d", help="After which time it is of no use (m, h, d, w); never, if not given.")
@asking
def create(
    name: str,
    role: str,
    labels: tuple[str, ...],
    projects: tuple[str, ...],
    secrets: tuple[str, ...],
    no_secrets: bool,
    expires: str | None,
    database: str | None,
    api: str | None,
) -> None:
    """Make a token called NAME and print it, this once: what is kept of it does not tell it."""
    if secrets and no_secrets:
        raise click.UsageError("--secret or --no-secrets, not both")
    given: dict[str, Any] = {"name": name, "role": role}
    where = place(database, api)
    if labels:
        given["labels"] = list(labels)
    if projects:
        given["projects"] = [_project(where, project) for project in projects]
    if secrets or no_secrets:
        given["secrets"] = list(secrets)
    if expires is not None:
        given["expires_at"] = moment(expires, "--expires").isoformat()
    made = where.ask(_CREATE, input=given)["create_api_token"]
    click.echo(made["token"])


@command.command("list")
@click.option("--all", "with_revoked", is_flag=True, help="Those that were revoked, too.")
@asking
@OUTPUT
def list_(with_revoked: bool, database: str | None, api: str | None, output: str) -> None:
    """List tokens: their names and roles, and when they were used last."""
    found = place(database, api).ask(_LIST)["api_token"]
    rows = [row for row in found if with_revoked or row["revoked_at"] is None]
    if output == "table":
        for row in rows:
            row["last_used"] = age(row["last_used"])
    columns = _COLUMNS.split()
    headings = [column.replace("_", " ").upper() for column in columns]
    show(headings, [[row[column] for column in columns] for row in rows], output)


@command.command("revoke")
@click.argument("token")
@asking
def revoke(token: str, database: str | None, api: str | None) -> None:
    """Let TOKEN (its name or id) be of no use from now on."""
    where = place(database, api)
    in_use = [row for row in where.ask(_LIST)["api_token"] if row["revoked_at"] is None]
    found = [row for row in in_use if row["id"] == token] or [row for row in in_use if row["name"] == token]
    if not found:
        raise NotFound(f"There is no token {token!r} that could be revoked")
    where.ask(_REVOKE, id=found[0]["id"])
    click.echo(f"{found[0]['name']} revoked")


def _project(where: Place, name: str) -> str:
    """The id of the project of this name."""
    if found := where.ask(questions.PROJECT, name=name)["project"]:
        return str(found[0]["id"])
    raise NotFound(f"There is no project {name!r}: make it with `prefectlite create project`")
