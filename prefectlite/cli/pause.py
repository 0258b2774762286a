"""`prefectlite pause`: let a run begin nothing more until somebody has looked at it."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from prefectlite.cli.asking import Place, asking, place
from prefectlite.cli.named_runs import run_named
from prefectlite.cli.values import moment
from prefectlite.errors import BadRequest
from prefectlite.pauses import ENDS
from prefectlite.shown import printable

_PAUSE = "mutation ($input: pause_flow_run_input!) { pause_flow_run(input: $input) { success } }"


@click.command(
    "pause", epilog="`prefectlite resume RUN` lets it go on. A task pauses itself: pause_task, trigger=manual_only."
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option("--reason", help="Why, for whoever finds it paused.")
@click.option(
    "--expires", metavar="TIME", help="Until when somebody is waited for: 90m, 12h, 2d, or a moment (2030-01-31T12:00:00Z)."
)
@click.option(
    "--then", type=click.Choice(ENDS), help="What happens then: the run fails (if not given), is cancelled, goes on."
)
@asking
def command(
    runs: tuple[str, ...], reason: str | None, expires: str | None, then: str | None, database: str | None, api: str | None
) -> None:
    """Have each RUN, an id or a name, begin no more tasks; those that execute go on to their end.

    One that waits to be begun does not begin.
    """
    given: dict[str, Any] = {"reason": reason, "then": then}
    if expires is not None:
        given["expires"] = moment(expires, "--expires").isoformat()
    asyncio.run(_pause(runs, {name: value for name, value in given.items() if value is not None}, place(database, api)))


async def _pause(runs: tuple[str, ...], given: dict[str, Any], where: Place) -> None:
    async with where.open() as answers:
        for text in runs:
            run = await run_named(answers, text)
            if run.task_run is not None:
                raise BadRequest(
                    f"{text} is a run of the task {run.task_run.label!r}, which only its own code pauses:"
                    f" pause its flow run, {run.name!r}"
                )
            await answers.ask(_PAUSE, input={"flow_run_id": run.id, **given})
            click.echo(f"{printable(run.name)}: Paused")
