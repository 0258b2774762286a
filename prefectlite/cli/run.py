"""`prefectlite run`: one flow, here and now, with its progress in the terminal."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import click
import msgspec
from rich.console import Console

from prefectlite import hosting
from prefectlite.cli import OPTIONS
from prefectlite.cli.display import Display, LiveDisplay, PlainDisplay
from prefectlite.cli.interrupts import interrupts
from prefectlite.cli.output import patient_stdout
from prefectlite.cli.run_view import RunView
from prefectlite.errors import ParameterError
from prefectlite.language.graph import Graph
from prefectlite.language.parameter import check_parameters
from prefectlite.live.bus import Subscription
from prefectlite.live.events import LogLine, StateChange
from prefectlite.session import Session
from prefectlite.settings import Settings, load_settings
from prefectlite.states import State
from prefectlite.storage.source import load_flow, source_from_argument


@click.command("run")
@click.argument("flow")
@click.option(
    "-p", "--param", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter; the value is JSON, or text."
)
@click.option("--run-name", help="A name for the run.")
@click.option("--database", metavar="URL", help="The database to record it in.")
@click.option("--plain", is_flag=True, help="A plain stream of lines, as when the output is not a terminal.")
def command(flow: str, parameters: tuple[str, ...], run_name: str | None, database: str | None, plain: bool) -> None:
    """Run FLOW: flow.py, flow.py:name, package.module or package.module:name. Leaves with 1 if the run did not succeed."""
    settings = load_settings(options=OPTIONS, database_url=database)
    values = dict(_parameter(text) for text in parameters)
    graph = load_flow(source_from_argument(flow))
    graph.validate()
    check_parameters(graph, values)
    logging.getLogger("prefectlite").addHandler(logging.NullHandler())  # the display shows the log
    with patient_stdout():
        console = Console(highlight=False)
        display = PlainDisplay(console) if plain or not console.is_terminal else LiveDisplay(console)
        state = asyncio.run(_run(graph, values, run_name, settings, display))
    if not state.is_successful():
        sys.exit(130 if state.name == "Cancelled" else 1)


def _parameter(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ParameterError(f"-p {text}: write it as NAME=VALUE")
    try:
        return name, msgspec.json.decode(value)
    except UnicodeEncodeError:  # bytes of the command line that are not UTF-8
        return name, value
    except msgspec.DecodeError as error:
        if value[:1] in ("[", "{", '"'):
            raise ParameterError(f"-p {text}: this begins like JSON and is not: {error}") from None
        return name, value


async def _run(graph: Graph, values: dict[str, Any], name: str | None, settings: Settings, display: Display) -> State:
    host = hosting.join(settings)
    try:
        session = await host.session()
        run, flow = await session.create(graph, values, name=name)
        view = RunView(graph, flow.task_ids, run)
        loop = asyncio.get_running_loop()
        with (
            interrupts(lambda: loop.call_soon_threadsafe(_stop, session, run.id), display.last_words),
            session.bus.subscribe(("flow_run", run.id)) as states,
            session.bus.subscribe(("logs", run.id)) as lines,
            display.showing(view),
        ):
            async with asyncio.TaskGroup() as group:
                group.create_task(_follow(states, session, view, display))
                group.create_task(_follow(lines, session, view, display))
                execution = host.submit(lambda s: s.execute(graph, flow, run, values))
                state: State = await asyncio.wrap_future(execution)
                states.finish()  # all its news has been published: the followers end when they have shown it
                lines.finish()
        display.end(view, state)
        return state
    finally:
        if host.leave():
            await asyncio.shield(asyncio.wrap_future(host.closed))


def _stop(session: Session, run_id: str) -> None:
    if session.host.cancel(run_id):
        click.echo("Cancelling the run. Once more Ctrl-C stops at once.", err=True)


async def _follow(subscription: Subscription, session: Session, view: RunView, display: Display) -> None:
    async for event in subscription:
        if subscription.take_lagged():
            await view.read_again(session.database)
        if isinstance(event, StateChange):
            display.changed(view, view.apply(event))
        elif isinstance(event, LogLine):
            display.line(view, event.row)
