"""`prefectlite restart`: run tasks of a run that has ended once more."""

from __future__ import annotations

import click

from prefectlite.cli import OPTIONS
from prefectlite.cli.earlier_runs import FLOW_HELP, with_code
from prefectlite.cli.execution import Begun, execute
from prefectlite.cli.options import DATABASE, PLAIN
from prefectlite.repository.runs import run_called
from prefectlite.session import Session
from prefectlite.settings import load_settings


@click.command("restart", epilog=FLOW_HELP)
@click.argument("run")
@click.argument("flow", required=False)
@click.option(
    "--from", "tasks", multiple=True, metavar="TASK", help="This task, by name or slug, and what follows; may be repeated."
)
@DATABASE
@PLAIN
def command(run: str, flow: str | None, tasks: tuple[str, ...], database: str | None, plain: bool) -> None:
    """Run the tasks of RUN, an id or a name, that did not succeed once more, and what follows from them."""

    async def begin(session: Session) -> Begun:
        begun = await with_code(await run_called(session.database, run), flow, session)  # before anything is changed
        row = await session.client.restart_flow_run(begun.run.id, session.owner.id, tasks)
        return begun._replace(run=row, takeover_from=None)

    execute(begin, load_settings(options=OPTIONS, database_url=database), plain=plain)
