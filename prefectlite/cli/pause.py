"""`prefectlite pause`: let a run begin nothing more until somebody has looked at it."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from prefectlite.cli.asking import Answers, Place, asking, place
from prefectlite.cli.named_runs import Named, run_named
from prefectlite.cli.values import moment
from prefectlite.errors import BadRequest, NotFound
from prefectlite.pauses import ENDS
from prefectlite.shown import printable

_TASKS = "query ($id: uuid!) { flow_run_by_pk(id: $id) { flow { tasks { id name slug } } } }"
_TASK_RUN = "mutation ($input: get_or_create_task_run_input!) { get_or_create_task_run(input: $input) { id } }"
_PAUSE_TASK = "mutation ($input: set_task_run_states_input!) { set_task_run_states(input: $input) { states { id } } }"
_PAUSE = "mutation ($input: pause_flow_run_input!) { pause_flow_run(input: $input) { success } }"


@click.command(
    "pause", epilog="`prefectlite resume RUN` lets it go on. A task pauses itself: pause_task, trigger=manual_only."
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option("--task", metavar="TASK", help="Pause this task of the run alone, by its name or slug, if it has not begun.")
@click.option("--reason", help="Why, for whoever finds it paused.")
@click.option(
    "--expires", metavar="TIME", help="Until when somebody is waited for: 90m, 12h, 2d, or a moment (2030-01-31T12:00:00Z)."
)
@click.option(
    "--then", type=click.Choice(ENDS), help="What happens then: the run fails (if not given), is cancelled, goes on."
)
@asking
def command(
    runs: tuple[str, ...],
    task: str | None,
    reason: str | None,
    expires: str | None,
    then: str | None,
    database: str | None,
    api: str | None,
) -> None:
    """Have each RUN, an id or a name, begin no more tasks; those that execute go on to their end.

    One that waits to be begun does not begin. RUN may be the id of a task run, too, that has not begun.
    """
    given: dict[str, Any] = {"reason": reason, "then": then}
    if expires is not None:
        given["expires"] = moment(expires, "--expires").isoformat()
    given = {name: value for name, value in given.items() if value is not None}
    asyncio.run(_pause(runs, task, given, place(database, api)))


async def _pause(runs: tuple[str, ...], task: str | None, given: dict[str, Any], where: Place) -> None:
    async with where.open() as answers:
        for text in runs:
            run = await run_named(answers, text)
            if task is not None or run.task_run is not None:
                label = await _pause_task(answers, run, task, given)
                click.echo(f"{printable(run.name)}, {printable(label)}: Paused")
                continue
            await answers.ask(_PAUSE, input={"flow_run_id": run.id, **given})
            click.echo(f"{printable(run.name)}: Paused")


async def _pause_task(answers: Answers, run: Named, task: str | None, given: dict[str, Any]) -> str:
    """Pause one task run of `run`; what it is called."""
    if "expires" in given or "then" in given:
        raise BadRequest("--expires and --then are for whole runs: a task waits until somebody resumes it")
    if run.task_run is not None:
        if task is not None:
            raise BadRequest(f"{run.task_run.id} is a task run: --task goes with a flow run")
        task_run_id, label = run.task_run.id, run.task_run.label
    else:
        tasks = (await answers.ask(_TASKS, id=run.id))["flow_run_by_pk"]["flow"]["tasks"]
        found = [one for one in tasks if task in (one["name"], one["slug"])]
        if not found:
            raise NotFound(f"The flow of {run.name!r} has no task {task!r}")
        if len(found) > 1:
            raise BadRequest(f"Several tasks are called {task!r}: say which ({', '.join(one['slug'] for one in found)})")
        made = await answers.ask(_TASK_RUN, input={"flow_run_id": run.id, "task_id": found[0]["id"]})
        task_run_id, label = made["get_or_create_task_run"]["id"], found[0]["name"]
    state = {"type": "Paused", "message": given.get("reason", "Paused by hand")}
    await answers.ask(_PAUSE_TASK, input={"states": [{"task_run_id": task_run_id, "state": state}]})
    return label
