"""`prefectlite delete`."""

from __future__ import annotations

import click

from prefectlite.cli.asking import asking, place
from prefectlite.client import questions
from prefectlite.errors import NotFound

_DELETE = "mutation ($id: UUID!) { delete_project(input: {project_id: $id}) { success } }"


@click.group("delete")
def command() -> None:
    """Delete something: a project."""


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
