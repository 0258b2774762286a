"""`prefectlite kv`: the key-value store."""

from __future__ import annotations

import sys

import click
import msgspec

from prefectlite.cli.asking import asking, place
from prefectlite.cli.tables import OUTPUT, show
from prefectlite.client import questions
from prefectlite.errors import BadRequest, KeyNotFound
from prefectlite.shown import printable_lines

_LIST = "query { key_value(order_by: {key: asc}) { key value updated } }"


@click.group("kv")
def command() -> None:
    """The key-value store: small JSON values that outlive runs."""


@command.command("list")
@asking
@OUTPUT
def list_(database: str | None, api: str | None, output: str) -> None:
    """List all keys, with their values."""
    found = place(database, api).ask(_LIST)["key_value"]
    show(["KEY", "VALUE", "UPDATED"], [(row["key"], row["value"], row["updated"]) for row in found], output)


@command.command("get")
@click.argument("key")
@asking
def get(key: str, database: str | None, api: str | None) -> None:
    """Print the value of KEY: text as it is, anything else as JSON. A terminal is not steered by what is in it."""
    found = place(database, api).ask(questions.KEY, key=key)["key_value"]
    if not found:
        raise KeyNotFound(f"No value found for key: {key}")
    value = found[0]["value"]
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    click.echo(printable_lines(text) if sys.stdout.isatty() else text, color=True)  # else it would take colours away


@command.command("set")
@click.argument("key")
@click.argument("value")
@click.option("--json", "as_json", is_flag=True, help="VALUE is JSON, not text.")
@asking
def set_(key: str, value: str, as_json: bool, database: str | None, api: str | None) -> None:
    """Give KEY the text VALUE, whatever it had before."""
    try:
        given = msgspec.json.decode(value) if as_json else value
    except msgspec.DecodeError as error:
        raise BadRequest(f"VALUE is not JSON: {error}") from None
    place(database, api).ask(questions.SET_KEY, input={"key": key, "value": given})
    click.echo(f"{key} set")


@command.command("delete")
@click.argument("key")
@asking
def delete(key: str, database: str | None, api: str | None) -> None:
    """Forget KEY and its value."""
    where = place(database, api)
    found = where.ask(questions.KEY, key=key)["key_value"]
    if not found:
        raise KeyNotFound(f"No key {key} found to delete")
    where.ask(questions.DELETE_KEY, id=found[0]["id"])
    click.echo(f"{key} deleted")
