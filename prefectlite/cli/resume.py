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
from prefectlite.shown import printable


@click.command("resume", epilog=FLOW_HELP)
@click.argument("run")
@click.argument("flow", required=False)
@DATABASE
@PLAIN
@click.option("--reason", help="Why a run that was paused goes on, for its history.")
def command(run: str, flow: str | None, database: str | None, plain: bool, reason: str | None) -> None:
    """Go on with RUN, an id or a name, that is paused or whose process is gone: finished tasks are not run again."""

    async def begin(session: Session) -> Begun:
        row = await run_called(session.database, run)
        if row.is_finished:
            raise BadRequest(f"Flow run {row.name!r} has ended as {row.state}: `prefectlite restart` runs tasks of it again")
        is_there = row.owner is not None and not await session.is_gone(row.owner)
        if row.state == "Paused":
            click.echo(f"{printable(row.name)}: {printable(row.state_message or 'Paused')}", err=True)
            begun = None if is_there else await with_code(row, flow, session)  # before anything is changed
            await session.client.pauses.resume_flow_run(row.id, reason, "the command line")
            if begun is not None:
                return begun
            click.echo(f"{printable(row.name)} goes on in its own process")
            raise click.exceptions.Exit(0)
        if is_there:
            raise BadRequest(f"Flow run {row.name!r} is executed by another process, which is there: cancel it first")
        return await with_code(row, flow, session)

    execute(begin, load_settings(options=OPTIONS, database_url=database), plain=plain)
