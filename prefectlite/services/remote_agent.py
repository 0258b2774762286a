"""An agent of a server elsewhere: begins the server's runs in this process, and ends in good order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any

from prefectlite.client.http import Client
from prefectlite.clock import Clock
from prefectlite.contexts import active_record
from prefectlite.errors import ApiError
from prefectlite.kept import kept
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.orchestrator.calls import Executor
from prefectlite.orchestrator.persistence import read_at_last
from prefectlite.plain_calls import RecordElsewhere
from prefectlite.remote_site import TurnsAtTheServer, open_remote_site, registered
from prefectlite.services.agent import Agent
from prefectlite.services.catalog import Catalog
from prefectlite.settings import Settings
from prefectlite.site import Site
from prefectlite.supervision import restarting

#: How often a server is asked, whatever its news, in the time in which nothing need be heard of an agent.
LOOKS = 4


class RemoteAgent:
    """Works for the server at `settings.api_url`, as the agent `name` with these labels.

    With `max_polls` it asks for runs so many times, and ends when those that it has begun by then have ended.
    `config_id` names the settings at the server that it has, if it has such.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        labels: Collection[str],
        max_polls: int | None = None,
        config_id: str | None = None,
    ) -> None:
        self._settings, self.name, self._labels, self._config_id = settings, name, labels, config_id
        self._work: set[asyncio.Task[Any]] = set()
        self._polls, self._max_polls = 0, max_polls
        self._polled, self._poked = asyncio.Event(), asyncio.Event()

    @property
    def running(self) -> int:
        """How many runs it executes, or is about to."""
        return len(self._work)

    def poke(self) -> None:
        """Have it ask at once whether there is something to do."""
        self._poked.set()

    async def run(self, stop: asyncio.Event, at_once: asyncio.Event, told: Callable[[str], None]) -> None:
        """Begin what is due until `stop` is set; then runs get their grace period, unless `at_once` is set, too.

        What goes on after that is left in the record, for others to take up. `told` hears what a person wants to know.
        Raises ApiError if the server refuses, or is of another version, even if only from now on.
        """
        async with Client(self._settings.api_url, executes=True) as client:
            registering = asyncio.create_task(registered(client, self.name, self._labels, self._config_id))
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait([registering, stopping], return_when=asyncio.FIRST_COMPLETED)
                if registering.done():
                    await self._work_as(registering.result(), client, stopping, at_once, told)
            finally:
                registering.cancel()
                stopping.cancel()

    async def _work_as(
        self,
        executor: Executor,
        client: Client,
        stopping: asyncio.Task[Any],
        at_once: asyncio.Event,
        told: Callable[[str], None],
    ) -> None:
        async with open_remote_site(self._settings, client, executor) as (site, listen):
            active_record.set(RecordElsewhere(site.ask))
            agent = Agent(site, Catalog(), self._begin, lambda _: TurnsAtTheServer(site), self._labels)
            listen("sign of life", lambda: self._look(agent, site.clock))
            listen("report", lambda: _report(site, told))
            looking = asyncio.create_task(restarting("agent", agent.run))
            told(f"Agent {self.name} works for {self._settings.api_url}, {self._takes()}")
            mismatched = asyncio.create_task(client.mismatched.wait())
            polling = asyncio.create_task(self._polled.wait())
            ends = [stopping, mismatched]
            try:
                await asyncio.wait([*ends, polling], return_when=asyncio.FIRST_COMPLETED)
                looking.cancel()
                while self._work and not any(end.done() for end in ends):
                    await asyncio.wait([*self._work, *ends], return_when=asyncio.FIRST_COMPLETED)
            finally:
                looking.cancel()
                if mismatched.done():
                    at_once.set()  # nothing of what runs do can be told any more
                await self._wind_down(site, at_once, told)
                is_over = mismatched.done()
                for task in (polling, mismatched):
                    task.cancel()
        if is_over:
            raise ApiError(client.mismatch)

    async def _look(self, agent: Agent, clock: Clock) -> None:
        """Ask now and then what there is to do, whatever news there is: so the server knows that the agent is alive."""
        await agent.looked.wait()
        while True:
            self._polls += 1
            if self._polls == self._max_polls:
                agent.begin_due()
                self._polled.set()
            await self._pause(clock)
            await agent.look()

    async def _pause(self, clock: Clock) -> None:
        waits = [clock.sleep(self._settings.agent_silence / LOOKS), self._poked.wait()]
        ends = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        self._poked.clear()

    def _takes(self) -> str:
        if not self._labels:
            return "and takes runs without labels"
        return f"and takes runs that have labels among {', '.join(sorted(self._labels))}"

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = kept(asyncio.create_task(work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _wind_down(self, site: Site, at_once: asyncio.Event, told: Callable[[str], None]) -> None:
        await give_time(site, self._settings.grace_period, at_once, told)
        site.orchestrator.hurry()
        site.run_log.hurry()
        site.interrupt()
        if self._work:
            await asyncio.wait(self._work)


async def _report(site: Site, told: Callable[[str], None]) -> None:
    """Tell which runs begin here, and how they end."""
    begun: set[str] = set()
    with site.bus.subscribe(ALL_FLOW_RUNS) as news:
        async for event in news:
            if not isinstance(event, StateChange):
                continue
            run_id, state = event.flow_run_id, event.state
            if state.name == "Running" and site.has(run_id):
                begun.add(run_id)
                run = await read_at_last(partial(site.flow_run, run_id), "flow runs")
                flow = await read_at_last(partial(site.flow, run.flow_id), "flows")
                told(f"Flow run {run.name} ({run_id}) of {flow.name} begins")
            elif state.is_finished and run_id in begun:
                begun.discard(run_id)
                told(f"Flow run {run_id} has ended: {state.name}")


async def give_time(site: Site, grace: float, at_once: asyncio.Event, told: Callable[[str], None]) -> None:
    """Let the runs of a site go on for `grace` seconds at most, or until `at_once` is set."""
    left = site.running
    if not left:
        return
    told(f"Stopping: {left} flow run(s) get {grace:g} s to end. Once more Ctrl-C stops at once.")
    idle = asyncio.create_task(site.wait_idle())
    hurry = asyncio.create_task(at_once.wait())
    await asyncio.wait([idle, hurry], timeout=grace, return_when=asyncio.FIRST_COMPLETED)
    idle.cancel()
    hurry.cancel()
    if left := site.running:
        told(f"{left} flow run(s) are left to be taken up again.")
