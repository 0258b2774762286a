"""`prefectlite logs`: the lines that runs have logged."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import click

from prefectlite.cli.asking import Answers, Place, asking, place
from prefectlite.cli.named_runs import run_named
from prefectlite.cli.tables import show_data
from prefectlite.errors import NotFound

_LINES = """query ($where: log_bool_exp, $order: order_by, $limit: Int) {
  log(where: $where, order_by: [{seq: $order}], limit: $limit) {
    seq timestamp level message flow_run { name } task_run { map_index task { name } } } }"""
_PAGE = 2_000
_NOTHING_FOUND = 1
_OUTPUT = click.option(
    "-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", help="How they are shown."
)
_EPILOG = (
    """WORDS have all to be in a line, in whatever order and case; "a phrase" as it stands; word* is how a word begins."""
)
Line = dict[str, Any]


@click.command("logs", epilog=_EPILOG)
@click.argument("run", required=False)
@click.option("--search", metavar="WORDS", help="Only lines with these words. Leaves with 1 if there are none.")
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Only the newest N of the lines.")
@_OUTPUT
@asking
def command(
    run: str | None, search: str | None, limit: int | None, output: str, database: str | None, api: str | None
) -> None:
    """Show the log of RUN, an id or a name, or search in those of all runs. Each line of a log is one line here.

    RUN may be the id of a task run, too.
    """
    if run is None and search is None:
        raise click.UsageError("Name a run, or say --search WORDS")
    if search is not None and not search.strip():
        raise click.UsageError("--search needs a word to look for")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what the terminal cannot show
    count = asyncio.run(_print(place(database, api), run, search, limit, output))
    if search is not None and not count:
        sys.exit(_NOTHING_FOUND)


async def _print(where: Place, run: str | None, search: str | None, limit: int | None, output: str) -> int:
    """Print the lines; how many there were."""
    count, kept = 0, []
    async with where.open() as answers:
        chosen: dict[str, Any] = {} if run is None else await _of(answers, run, where)
        if search is not None:
            chosen["message"] = {"_search": search}
        lines = _all(answers, chosen) if limit is None else _newest(answers, chosen, limit)
        async for line in lines:
            count += 1
            if output == "text":
                click.echo(_shown(line, run is None))
            else:
                kept.append(_fields(line))
    if output != "text":
        show_data(kept, output)
    return count


async def _of(answers: Answers, run: str, where: Place) -> dict[str, Any]:
    """The condition for the lines of the run called `run`. Raises NotFound, and BadRequest."""
    try:
        meant = await run_named(answers, run)
    except NotFound as error:  # the wrong database, perhaps
        raise NotFound(f"{error} {where.whereabouts}: give its id or its name") from None
    of_task = {} if meant.task_run is None else {"task_run_id": {"_eq": meant.task_run.id}}
    return {"flow_run_id": {"_eq": meant.id}, **of_task}


async def _all(answers: Answers, chosen: dict[str, Any]) -> AsyncIterator[Line]:
    """The lines in their order."""
    last = 0
    while found := await _page(answers, {**chosen, "seq": {"_gt": last}}, "asc", _PAGE):
        for line in found:
            yield line
        last = found[-1]["seq"]


async def _newest(answers: Answers, chosen: dict[str, Any], most: int) -> AsyncIterator[Line]:
    """The last `most` lines in their order."""
    found: list[Line] = []
    while len(found) < most:
        earlier = {"seq": {"_lt": found[-1]["seq"]}} if found else {}
        page = await _page(answers, {**chosen, **earlier}, "desc", min(most - len(found), _PAGE))
        if not page:
            break
        found += page
    for line in reversed(found):
        yield line


async def _page(answers: Answers, chosen: dict[str, Any], order: str, most: int) -> list[Line]:
    lines: list[Line] = (await answers.ask(_LINES, where=chosen, order=order, limit=most))["log"]
    return lines


def _fields(line: Line) -> dict[str, Any]:
    """A line for other programs."""
    task_run = line["task_run"]
    return {
        "timestamp": line["timestamp"],
        "flow_run": line["flow_run"]["name"],
        "task": task_run and task_run["task"]["name"],
        "map_index": task_run and task_run["map_index"],
        "level": line["level"],
        "message": line["message"],
    }


def _shown(line: Line, with_run: bool) -> str:
    task_run = line["task_run"] or {"map_index": -1, "task": {"name": "log"}}
    name, index = task_run["task"]["name"], task_run["map_index"]
    parts = [line["flow_run"]["name"]] if with_run else []
    at = datetime.fromisoformat(line["timestamp"]).astimezone()
    words = [*parts, name if index < 0 else f"{name}[{index}]", line["level"], line["message"]]
    return "  ".join([f"{at:%Y-%m-%d %H:%M:%S}", *map(_on_one_line, words)])


def _on_one_line(message: str) -> str:
    """`message` with line breaks and other characters that steer a terminal written as Python writes them."""
    if message.isprintable():
        return message
    return "".join(letter if letter.isprintable() or letter == "\t" else repr(letter)[1:-1] for letter in message)
