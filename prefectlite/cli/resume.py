"""`prefectlite resume`: go on with a run that was interrupted."""

from __future__ import annotations

import click

from prefectlite.cli import OPTIONS
from prefectlite.cli.earlier_runs import FLOW_HELP, with_code
from prefectlite.cli.execution import Begun, execute
from prefectlite.cli.options import DATABASE, PLAIN
from prefectlite.errors import BadRequest
from prefectlite.repository.runs import run_called
from prefectlite.session import Session
from prefectlite.settings import load_settings


@click.command("resume", epilog=FLOW_HELP)
@click.argument("run")
@click.argument("flow", required=False)
@DATABASE
@PLAIN
def command(run: str, flow: str | None, database: str | None, plain: bool) -> None:
    """Go on with RUN, an id or a name, whose process is gone: finished tasks are not run again."""

    async def begin(session: Session) -> Begun:
        row = await run_called(session.database, run)
        if row.is_finished:
            raise BadRequest(f"Flow run {row.name!r} has ended as {row.state}: `prefectlite restart` runs tasks of it again")
        if row.owner is not None and not await session.is_gone(row.owner):
            raise BadRequest(f"Flow run {row.name!r} is executed by another process, which is there: cancel it first")
        return await with_code(row, flow, session)

    execute(begin, load_settings(options=OPTIONS, database_url=database), plain=plain)
