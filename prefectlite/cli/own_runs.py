"""`prefectlite run --name … --execute`: a run of a registered flow, made in the record and executed in this process."""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import click
from rich.console import Console

from prefectlite.cli.asking import Answers, Place
from prefectlite.cli.execution import Begun, aside, execute
from prefectlite.cli.following import follow
from prefectlite.cli.interrupts import interrupts
from prefectlite.cli.output import patient_stdout
from prefectlite.cli.scheduling import Wanted, flow_id_of, make_run, tell
from prefectlite.cli.unpacking import alone
from prefectlite.client.http import Client
from prefectlite.contexts import active_record
from prefectlite.errors import ApiError, BadRequest
from prefectlite.ids import new_id
from prefectlite.language.graph import Graph
from prefectlite.orchestrator.calls import Executor
from prefectlite.plain_calls import RecordElsewhere
from prefectlite.records import FlowRow, FlowRunRow
from prefectlite.remote_site import RemoteSite, open_remote_site
from prefectlite.repository.flows import OWN
from prefectlite.run_configs import LocalRun, run_config_from
from prefectlite.services.catalog import Catalog
from prefectlite.services.remote_agent import LOOKS
from prefectlite.session import Session
from prefectlite.shown import printable_lines
from prefectlite.states import State

#: What this process is called among the server's agents, and a label that no run has: it takes none but its own.
_NAME, _LABELS = f"prefectlite run --execute ({socket.gethostname()})", ["its own runs"]


def execute_here(wanted: Wanted, place: Place, *, plain: bool) -> None:
    """Make a run of a registered flow, and execute it in this process. Leaves as `execution.execute` does."""
    if place.is_server:
        _execute_at_server(wanted, place)
        return

    async def begin(session: Session) -> Begun:
        async with place.open() as answers:
            flow_id = await flow_id_of(wanted, answers)
        flow = await session.flow(flow_id)
        graph = await _code_of(flow)
        run_id = await session.client.create_flow_run(
            flow_id=flow_id,
            parameters=wanted.parameters,
            context=wanted.context,
            labels=list(wanted.labels) or None,
            flow_run_name=wanted.run_name,
            idempotency_key=wanted.idempotency_key,
            claim=session.owner.id,
        )
        run = await session.flow_run(run_id)
        _check_own(run, session.owner.id)
        _be_where(run)
        return Begun(graph, flow, run)

    execute(begin, place.settings, plain=plain, quiet=wanted.quiet, with_log=wanted.with_log)


def _execute_at_server(wanted: Wanted, place: Place) -> None:
    """Execute a run that is made at the server. If this process is killed, the server's agents take it up."""
    os.environ["PREFECTLITE_API_URL"] = place.settings.api_url  # for the code of flows, which asks the same server
    with aside(), patient_stdout():
        state = asyncio.run(_executed(wanted, place))
    if not state.is_successful():
        sys.exit(130 if state.name == "Cancelled" else 1)


async def _executed(wanted: Wanted, place: Place) -> State:
    with alone():
        async with Client(place.settings.api_url) as client:
            answers = Answers(client.graphql, client.subscribe)
            flow_id = await flow_id_of(wanted, answers)
            agent_id = await client.register_agent(_NAME, _LABELS)
            executor = Executor(f"{agent_id}/{new_id()}", agent_id, _LABELS)
            async with open_remote_site(place.settings, client, executor) as (site, listen):
                active_record.set(RecordElsewhere(site.ask))
                await site.scheduled_runs(_LABELS)  # so that the server knows whose the run will be
                listen("sign of life", lambda: _give_signs_of_life(site))
                flow = await site.flow(flow_id)
                graph = await _code_of(flow)
                run = await _own_run(wanted, flow_id, executor, site, answers)
                return await _shown(site, (graph, flow, run), wanted, answers)
    raise AssertionError  # `alone` lets errors out


async def _code_of(flow: FlowRow) -> Graph:
    """The flow of `flow`, of the version that is registered. Raises FlowLoadError, and BadRequest for one of Prefect's."""
    if flow.runtime != OWN:
        raise BadRequest(f"Flow {flow.name!r} was registered by Prefect 1.x: its agents, or `prefect run`, execute it")
    return await Catalog().find(flow)


async def _own_run(wanted: Wanted, flow_id: str, executor: Executor, site: RemoteSite, answers: Answers) -> FlowRunRow:
    made = await make_run(wanted, flow_id, answers, executor_id=executor.id)
    run = await site.flow_run(made["id"])
    _check_own(run, executor.id)
    if wanted.quiet:
        click.echo(run.id)
    else:
        tell(made)
    _be_where(run)
    return run


def _check_own(run: FlowRunRow, executor_id: str) -> None:
    if run.owner != executor_id or run.version > 1:
        raise BadRequest(f"There is a run with this idempotency key already: {run.name!r} ({run.id}), {run.state}")


def _be_where(run: FlowRunRow) -> None:
    """Have the variables and the working directory that a run wants: this process is there for it alone."""
    config = run_config_from(run.run_config)
    os.environ.update(config.env or {})
    if isinstance(config, LocalRun) and config.working_dir:
        try:
            os.chdir(config.working_dir)
        except OSError as error:
            raise BadRequest(f"The run's working directory {config.working_dir} cannot be used: {error.strerror}") from None


async def _shown(site: RemoteSite, begun: tuple[Graph, FlowRow, FlowRunRow], wanted: Wanted, answers: Answers) -> State:
    """The final state of the run, which is executed here, and followed unless nothing is to be shown."""
    graph, flow, run = begun
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if site.host.cancel(run.id):
            click.echo("Cancelling the run. Once more Ctrl-C stops at once.", err=True)

    with interrupts(lambda: loop.call_soon_threadsafe(stop), lambda: None):
        async with asyncio.TaskGroup() as group:
            execution = group.create_task(site.execute(graph, flow, run))
            if not wanted.quiet:
                group.create_task(_followed(answers, run.id, with_log=wanted.with_log))
    return execution.result()


async def _followed(answers: Answers, run_id: str, *, with_log: bool) -> None:
    try:
        await follow(answers, run_id, Console(highlight=False, emoji=False), with_log=with_log)
    except ApiError as error:
        click.echo(f"The run goes on, but is not shown any more: {printable_lines(str(error))}", err=True)


async def _give_signs_of_life(site: RemoteSite) -> None:
    while True:
        await asyncio.sleep(site.settings.agent_silence / LOOKS)
        await site.scheduled_runs(_LABELS)
