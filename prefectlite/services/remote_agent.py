"""An agent of a server elsewhere: begins the server's runs in this process, and ends in good order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from prefectlite.client.http import Client
from prefectlite.clock import Clock
from prefectlite.contexts import active_record
from prefectlite.kept import kept
from prefectlite.live.events import ALL_FLOW_RUNS, StateChange
from prefectlite.orchestrator.calls import Executor
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
    """Works for the server at `settings.api_url`, as the agent `name` with these labels."""

    def __init__(self, settings: Settings, name: str, labels: Collection[str]) -> None:
        self._settings, self._name, self._labels = settings, name, labels
        self._work: set[asyncio.Task[Any]] = set()

    async def run(self, stop: asyncio.Event, at_once: asyncio.Event, told: Callable[[str], None]) -> None:
        """Begin what is due until `stop` is set; then runs get their grace period, unless `at_once` is set, too.

        What goes on after that is left in the record, for others to take up. `told` hears what a person wants to know.
        """
        async with Client(self._settings.api_url) as client:
            registering = asyncio.create_task(registered(client, self._name, self._labels))
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
            told(f"Agent {self._name} works for {self._settings.api_url}")
            try:
                await asyncio.wait([stopping])
            finally:
                looking.cancel()
                await self._wind_down(site, at_once, told)

    async def _look(self, agent: Agent, clock: Clock) -> None:
        """Ask now and then what there is to do, whatever news there is: so the server knows that the agent is alive."""
        while True:
            await clock.sleep(self._settings.agent_silence / LOOKS)
            await agent.look()

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
                run = await site.flow_run(run_id)
                told(f"Flow run {run.name} ({run_id}) of {(await site.flow(run.flow_id)).name} begins")
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
