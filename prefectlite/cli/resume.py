"""`prefectlite resume`: go on with a run that is paused, or was interrupted."""

from __future__ import annotations

import asyncio
from typing import Any

import click
import msgspec

from prefectlite.cli.asking import Answers, Place, answers_of, asking, place
from prefectlite.cli.earlier_runs import FLOW_HELP, with_code
from prefectlite.cli.execution import Begun, execute
from prefectlite.cli.named_runs import Named, TaskRun, chosen, paused_tasks, run_named
from prefectlite.cli.options import PLAIN
from prefectlite.errors import BadRequest, NotFound
from prefectlite.input_schemas import problem, sketch
from prefectlite.session import Session
from prefectlite.shown import printable
from prefectlite.states import FINISHED

_FLOW_RUN = "mutation ($input: resume_flow_run_input!) { resume_flow_run(input: $input) { state } }"
_TASK_RUN = "mutation ($input: resume_task_run_input!) { resume_task_run(input: $input) { success } }"


class _Wish(msgspec.Struct, frozen=True):
    """What the command line says: which run, which task of it, why, and what the task is given."""

    run: str
    task: str | None
    reason: str | None
    input: str | None

    @property
    def is_for_a_task(self) -> bool:
        """Whether it can only be meant for a task that is paused."""
        return self.task is not None or self.input is not None


@click.command("resume", epilog=FLOW_HELP)
@click.argument("run")
@click.argument("flow", required=False)
@click.option(
    "--task", metavar="TASK", help="The paused task of the run, by its name (ask, ask[3]) or slug, if there are several."
)
@click.option("--input", "given", metavar="JSON", help="What the paused task asks for.")
@click.option("--reason", help="Why it goes on, for its history.")
@asking
@PLAIN
def command(
    run: str,
    flow: str | None,
    task: str | None,
    given: str | None,
    reason: str | None,
    database: str | None,
    api: str | None,
    plain: bool,
) -> None:
    """Go on with RUN, an id or a name, that is paused, of which a task is paused, or whose process is gone.

    Finished tasks are not run again. RUN may be the id of a task run, too.
    """
    wish, where = _Wish(run, task, reason, given), place(database, api)
    if where.is_server:
        if flow is not None:
            raise click.UsageError("FLOW is for runs in the local database: an agent of the server has the code")
        asyncio.run(_at_server(wish, where))
        return

    async def begin(session: Session) -> Begun:
        answers = answers_of(session)
        try:
            meant = await run_named(answers, wish.run)
        except NotFound as error:  # the wrong database, perhaps
            raise NotFound(f"{error} in {session.database.place}: give its id or its name") from None
        row = await session.flow_run(meant.id)
        _check_not_finished(meant, "`prefectlite restart` runs tasks of it again")
        is_there = row.owner is not None and not await session.is_gone(row.owner)
        begun = None if is_there else await with_code(row, flow, session)  # before anything is changed
        told = await _let_go(answers, meant, wish)
        if told is None and is_there:
            raise BadRequest(f"Flow run {row.name!r} is executed by another process, which is there: cancel it first")
        if begun is not None:
            return begun
        click.echo(f"{told} goes on in its own process")
        raise click.exceptions.Exit(0)

    execute(begin, where.settings, plain=plain)


async def _at_server(wish: _Wish, where: Place) -> None:
    async with where.open() as answers:
        meant = await run_named(answers, wish.run)
        _check_not_finished(meant, "`prefectlite restart` has tasks of it run again")
        told = await _let_go(answers, meant, wish)
        if told is None:
            raise BadRequest(f"Flow run {meant.name!r} is not paused, and no task of it is: it is {meant.state}")
        click.echo(f"{told} goes on")


def _check_not_finished(meant: Named, instead: str) -> None:
    if meant.state in FINISHED:
        raise BadRequest(f"Flow run {meant.name!r} has ended as {meant.state}: {instead}")


async def _let_go(answers: Answers, meant: Named, wish: _Wish) -> str | None:
    """Resume what is paused, the run or a task of it, and say what that was; None if nothing is."""
    reason = {"reason": wish.reason} if wish.reason is not None else {}
    if meant.task_run is None and meant.state == "Paused" and not wish.is_for_a_task:
        click.echo(f"{printable(meant.name)}: {printable(meant.message or 'Paused')}", err=True)
        await answers.ask(_FLOW_RUN, input={"flow_run_id": meant.id, **reason})
        return printable(meant.name)
    task_run = meant.task_run
    if task_run is None:
        paused = await paused_tasks(answers, meant.id)
        if not paused and not wish.is_for_a_task:
            return None
        task_run = chosen(paused, wish.task, meant.name)
    elif task_run.state != "Paused":
        raise BadRequest(f"Task run {task_run.id} is not paused: it is {task_run.state}")
    click.echo(f"{printable(task_run.label)}: {printable(task_run.message or 'Paused')}", err=True)
    given = {} if (value := _given(wish, task_run)) is None else {"input": value}
    await answers.ask(_TASK_RUN, input={"task_run_id": task_run.id, **given, **reason})
    return printable(task_run.label)


def _given(wish: _Wish, task_run: TaskRun) -> Any:
    """What --input gives. Raises BadRequest where the task asks for something else, saying what."""
    name = printable(task_run.label)
    if wish.input is None:
        if task_run.wanted is not None and problem(task_run.wanted, None) is not None:
            raise BadRequest(f"Task {name!r} asks for something: give it with --input '{sketch(task_run.wanted)}'")
        return None
    try:
        value = msgspec.json.decode(wish.input)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise BadRequest(f"--input is not JSON: {error}") from None
    if task_run.wanted is None:
        raise BadRequest(f"Task {name!r} did not ask for any input")
    if (wrong := problem(task_run.wanted, value)) is not None:
        raise BadRequest(f"--{wrong}. It is to be {sketch(task_run.wanted)}")
    return value
