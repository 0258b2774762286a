"""`prefectlite restart`: run tasks of a run that has ended once more."""

from __future__ import annotations

import asyncio

import click

from prefectlite.cli.asking import Place, asking, place
from prefectlite.cli.earlier_runs import FLOW_HELP, with_code
from prefectlite.cli.execution import Begun, execute
from prefectlite.cli.named_runs import run_named
from prefectlite.cli.options import PLAIN
from prefectlite.errors import BadRequest
from prefectlite.repository.runs import run_called
from prefectlite.session import Session
from prefectlite.shown import printable

_RESTART = "mutation ($input: restart_flow_run_input!) { restart_flow_run(input: $input) { success } }"


@click.command("restart", epilog=FLOW_HELP)
@click.argument("run")
@click.argument("flow", required=False)
@click.option(
    "--from", "tasks", multiple=True, metavar="TASK", help="This task, by name or slug, and what follows; may be repeated."
)
@asking
@PLAIN
def command(run: str, flow: str | None, tasks: tuple[str, ...], database: str | None, api: str | None, plain: bool) -> None:
    """Run the tasks of RUN, an id or a name, that did not succeed once more, and what follows from them.

    Here, with a database; a server's agents do it where the server is asked.
    """
    where = place(database, api)
    if where.is_server:
        if flow is not None:
            raise click.UsageError("FLOW is for runs in the local database: an agent of the server has the code")
        asyncio.run(_at_server(run, tasks, where))
        return

    async def begin(session: Session) -> Begun:
        begun = await with_code(await run_called(session.database, run), flow, session)  # before anything is changed
        row = await session.client.restart_flow_run(begun.run.id, session.owner.id, tasks)
        return begun._replace(run=row, takeover_from=None)

    execute(begin, where.settings, plain=plain)


async def _at_server(text: str, tasks: tuple[str, ...], where: Place) -> None:
    async with where.open() as answers:
        run = await run_named(answers, text)
        if run.task_run is not None:
            raise BadRequest(f"{text} is a task run: name its flow run, {run.name!r}, and --from {run.task_run.name}")
        await answers.ask(_RESTART, input={"flow_run_id": run.id, "tasks": list(tasks)})
        click.echo(f"{printable(run.name)}: Scheduled")
