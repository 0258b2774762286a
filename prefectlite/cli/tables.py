"""What commands list: as a table, or as JSON or YAML for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from prefectlite.cli.yaml import yaml
from prefectlite.shown import printable

OUTPUT = click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", help="How it is shown."
)
_STEPS = (("year", 365 * 86400), ("month", 30 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60))


def show(headings: Sequence[str], rows: Sequence[Sequence[Any]], output: str = "table") -> None:
    """Print rows, with a heading over each column; for programs it is the name of the value, in snake_case."""
    if output != "table":
        names = [heading.lower().replace(" ", "_") for heading in headings]
        show_data([dict(zip(names, row, strict=True)) for row in rows], output)
        return
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console(highlight=False, markup=False)
    # In a pipe nothing is cut off: what reads it has no width.
    console.print(table) if console.is_terminal else Console(highlight=False, markup=False, width=10_000).print(table)


def show_data(value: Any, output: str) -> None:
    """Print `value` as JSON, or as YAML."""
    if output == "yaml":
        click.echo(yaml(msgspec.json.decode(msgspec.json.encode(value))), nl=False)
    else:
        text = msgspec.json.format(msgspec.json.encode(value)).decode()
        click.echo("".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text))


def age(moment: str | None) -> str:
    """How long ago a moment was, as people say it; empty where there is none."""
    if moment is None:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    for unit, length in _STEPS:
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "in future" if seconds < -1 else f"{max(int(seconds), 0)} seconds ago"


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return printable(text)
