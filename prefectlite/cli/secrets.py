"""`prefectlite secrets`: names of secrets are listed, values only taken."""

from __future__ import annotations

import asyncio
import sys

import click

from prefectlite import hosting
from prefectlite.cli import OPTIONS
from prefectlite.cli.asking import asking, place
from prefectlite.cli.options import DATABASE
from prefectlite.cli.tables import OUTPUT, show
from prefectlite.settings import Settings, load_settings

_SET = "mutation ($input: set_secret_input!) { set_secret(input: $input) { success } }"
_DELETE = "mutation ($input: delete_secret_input!) { delete_secret(input: $input) { success } }"


@click.group("secrets")
def command() -> None:
    """Secrets: encrypted in the database, and read by Secret("NAME").get() in tasks."""


@command.command("list")
@asking
@OUTPUT
def list_(database: str | None, api: str | None, output: str) -> None:
    """List the names of all secrets."""
    names = place(database, api).ask("query { secret_names }")["secret_names"]
    show(["NAME"], [(name,) for name in names], output)


@command.command("set")
@click.argument("name")
@asking
def set_(name: str, database: str | None, api: str | None) -> None:
    """Keep a secret under NAME. Its value is asked for, or read from standard input; the last line break is not of it."""
    where = place(database, api)
    if sys.stdin.isatty():
        value = click.prompt("Value", hide_input=True, confirmation_prompt=True)
    else:
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    where.ask(_SET, input={"name": name, "value": value})
    click.echo(f"{name} set")


@command.command("delete")
@click.argument("name")
@asking
def delete(name: str, database: str | None, api: str | None) -> None:
    """Forget the secret NAME."""
    place(database, api).ask(_DELETE, input={"name": name})
    click.echo(f"{name} deleted")


@command.command("rotate")
@DATABASE
def rotate(database: str | None) -> None:
    """Encrypt all secrets of the local database with a new key. The key before it stays in the file until the next time."""
    count = asyncio.run(_rotate(load_settings(options=OPTIONS, database_url=database)))
    click.echo(f"{count} secret{'' if count == 1 else 's'} encrypted with a new key")


async def _rotate(settings: Settings) -> int:
    host = hosting.join(settings)  # which passes errors on as they are; a session's own task group would wrap them
    try:
        count: int = await asyncio.wrap_future(host.submit(lambda session: session.client.secrets.rotate()))
    finally:
        if host.leave():
            await asyncio.shield(asyncio.wrap_future(host.closed))
    return count
