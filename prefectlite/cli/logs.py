"""`prefectlite logs`: the lines that runs have logged."""

from __future__ import annotations

import asyncio
import io
import sys

import click

from prefectlite.cli import OPTIONS
from prefectlite.cli.options import DATABASE
from prefectlite.clock import from_micros
from prefectlite.repository.found_lines import FoundLine, all_lines, newest_lines
from prefectlite.repository.runs import run_called
from prefectlite.repository.urls import open_database
from prefectlite.settings import load_settings

_NOTHING_FOUND = 1
_EPILOG = (
    """WORDS have all to be in a line, in whatever order and case; "a phrase" as it stands; word* is how a word begins."""
)


@click.command("logs", epilog=_EPILOG)
@click.argument("run", required=False)
@click.option("--search", metavar="WORDS", help="Only lines with these words. Leaves with 1 if there are none.")
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Only the newest N of the lines.")
@DATABASE
def command(run: str | None, search: str | None, limit: int | None, database: str | None) -> None:
    """Show the log of RUN, an id or a name, or search in those of all runs. Each line of a log is one line here."""
    if run is None and search is None:
        raise click.UsageError("Name a run, or say --search WORDS")
    if search is not None and not search.strip():
        raise click.UsageError("--search needs a word to look for")
    url = load_settings(options=OPTIONS, database_url=database).resolved_database_url()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what the terminal cannot show
    count = asyncio.run(_print(url, run, search, limit))
    if search is not None and not count:
        sys.exit(_NOTHING_FOUND)


async def _print(url: str, run: str | None, search: str | None, limit: int | None) -> int:
    """Print the lines; how many there were."""
    database = await open_database(url)
    count = 0
    try:
        run_id = None if run is None else (await run_called(database, run)).id
        if limit is not None:
            for line in await newest_lines(database, limit, run_id, search):
                click.echo(_shown(line, run is None))
                count += 1
            return count
        async for line in all_lines(database, run_id, search):
            click.echo(_shown(line, run is None))
            count += 1
    finally:
        await database.aclose()
    return count


def _shown(line: FoundLine, with_run: bool) -> str:
    task = line.task_name or "log"
    place = task if line.map_index < 0 else f"{task}[{line.map_index}]"
    parts = [line.flow_run_name] if with_run else []
    at = from_micros(line.timestamp).astimezone()
    return "  ".join(map(_on_one_line, [f"{at:%Y-%m-%d %H:%M:%S}", *parts, place, line.level, line.message]))


def _on_one_line(message: str) -> str:
    """`message`, or a name, with line breaks and other characters that steer a terminal written as Python writes them."""
    if message.isprintable():
        return message
    return "".join(letter if letter.isprintable() or letter == "\t" else repr(letter)[1:-1] for letter in message)
