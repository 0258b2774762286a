"""`prefectlite create`."""

from __future__ import annotations

import click

from prefectlite.cli.asking import asking, place
from prefectlite.client import questions

_CREATE = "mutation ($input: create_project_input!) { create_project(input: $input) { id } }"


@click.group("create")
def command() -> None:
    """Make something: a project."""


@command.command("project")
@click.argument("name")
@click.option("-d", "--description", help="What the project is for.")
@click.option("--skip-if-exists", is_flag=True, help="Do nothing if there is one of this name, instead of failing.")
@asking
def project(name: str, description: str | None, skip_if_exists: bool, database: str | None, api: str | None) -> None:
    """Make the project NAME, to register flows in."""
    where = place(database, api)
    if skip_if_exists and where.ask(questions.PROJECT, name=name)["project"]:
        click.echo(f"{name} already exists")
        return
    where.ask(_CREATE, input={"name": name, "description": description})
    click.echo(f"{name} created")
