"""What commands list: as a table, or as JSON for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from prefectlite.shown import printable

OUTPUT = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How it is shown.")
_STEPS = (("year", 365 * 86400), ("month", 30 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60))


def show(headings: Sequence[str], rows: Sequence[Sequence[Any]], output: str = "table") -> None:
    """Print rows, with a heading over each column; in JSON it is the name of the value, in snake_case."""
    if output == "json":
        names = [heading.lower().replace(" ", "_") for heading in headings]
        show_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console(highlight=False, markup=False)
    # In a pipe nothing is cut off: what reads it has no width.
    console.print(table) if console.is_terminal else Console(highlight=False, markup=False, width=10_000).print(table)


def show_json(value: Any) -> None:
    """Print `value` as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


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
