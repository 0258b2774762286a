"""Executing one flow run with its progress in the terminal, whichever way it begins."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import click
from rich.console import Console

from prefectlite import hosting
from prefectlite.cli.display import Display, LiveDisplay, PlainDisplay, QuietDisplay
from prefectlite.cli.interrupts import interrupts
from prefectlite.cli.output import patient_stdout
from prefectlite.cli.run_view import RunView
from prefectlite.cli.unpacking import alone
from prefectlite.language.graph import Graph
from prefectlite.live.bus import Subscription
from prefectlite.live.events import LogLine, StateChange
from prefectlite.records import FlowRow, FlowRunRow
from prefectlite.session import Session
from prefectlite.settings import Settings
from prefectlite.shown import printable_lines
from prefectlite.states import State

#: News shown in one turn of the loop, which the run needs, too.
_AT_ONCE = 50


class Begun(NamedTuple):
    """A run that is in the record and is to be executed here; `parameters` None for the recorded ones."""

    graph: Graph
    flow: FlowRow
    run: FlowRunRow
    parameters: dict[str, Any] | None = None
    takeover_from: str | None = None


Begin = Callable[[Session], Awaitable[Begun]]


def execute(begin: Begin, settings: Settings, *, plain: bool, quiet: bool = False, with_log: bool = True) -> None:
    """Execute the run that `begin` gives, and show it, its log too if that is wanted; or, `quiet`, its id only.

    Leaves with 1 if it does not succeed, with 130 if it is cancelled.
    """
    with aside(), patient_stdout():
        console = Console(highlight=False)
        display: Display = PlainDisplay(console) if plain or not console.is_terminal else LiveDisplay(console)
        if quiet:
            display = QuietDisplay(console)
        state = asyncio.run(_executed(begin, settings, display, with_log=with_log))
    if not state.is_successful():
        sys.exit(130 if state.name == "Cancelled" else 1)


async def _executed(begin: Begin, settings: Settings, display: Display, *, with_log: bool) -> State:
    host = hosting.join(settings)
    try:
        session = await host.session()
        graph, flow, run, parameters, takeover_from = await begin(session)
        view = RunView(graph, flow.task_ids, run)
        if run.version > 1:
            await view.read_again(session.database)
        loop = asyncio.get_running_loop()
        with (
            alone(),
            interrupts(lambda: loop.call_soon_threadsafe(_stop, session, run.id), display.last_words),
            session.bus.subscribe(("flow_run", run.id)) as states,
            session.bus.subscribe(("logs", run.id)) as lines,
            display.showing(view),
        ):
            async with asyncio.TaskGroup() as group:
                group.create_task(_follow(states, session, view, display))
                if with_log:
                    group.create_task(_follow(lines, session, view, display))
                execution = host.submit(lambda s: s.execute(graph, flow, run, parameters, takeover_from=takeover_from))
                state: State = await asyncio.wrap_future(execution)
                states.finish()  # all its news has been published: the followers end when they have shown it
                lines.finish()
        display.end(view, state)
        return state
    finally:
        if host.leave():
            await asyncio.shield(asyncio.wrap_future(host.closed))


class _Aside(logging.Handler):
    """Says what is no line of a run's log: that the database cannot be used, for one."""

    def emit(self, record: logging.LogRecord) -> None:
        if "in_run_log" not in record.__dict__:
            click.echo(printable_lines(self.format(record)), err=True)


@contextmanager
def aside() -> Iterator[None]:
    """In this block standard error has what is no line of a run's log, which is shown otherwise."""
    logger, handler = logging.getLogger("prefectlite"), _Aside(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _stop(session: Session, run_id: str) -> None:
    if session.host.cancel(run_id):
        click.echo("Cancelling the run. Once more Ctrl-C stops at once.", err=True)


async def _follow(subscription: Subscription, session: Session, view: RunView, display: Display) -> None:
    count = 0
    async for event in subscription:
        count += 1
        if not count % _AT_ONCE:
            await asyncio.sleep(0)
        if subscription.take_lagged():
            await view.read_again(session.database)
        if isinstance(event, StateChange):
            display.changed(view, view.apply(event))
        elif isinstance(event, LogLine):
            display.line(view, event.row)
