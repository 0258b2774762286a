"""Runtime: prefectlite inside an application's own event loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from types import TracebackType
from typing import Any

from starlette.applications import Starlette

from prefectlite import hosting
from prefectlite.api.app import create_app
from prefectlite.clock import Clock
from prefectlite.contexts import active_session, loading_flow
from prefectlite.errors import AlreadyServed, FlowError
from prefectlite.flow import Flow
from prefectlite.orchestrator.calls import MAY_BEGIN
from prefectlite.registration import register_in, source_of
from prefectlite.services.agent import Agent
from prefectlite.services.automations import AutomationService
from prefectlite.services.catalog import Catalog
from prefectlite.services.heartbeats import Heartbeats
from prefectlite.services.late_runs import LateRuns
from prefectlite.services.notifier import Notifier
from prefectlite.services.overlap import Overlap
from prefectlite.services.pause_expiry import PauseExpiry
from prefectlite.services.rescuer import Rescuer
from prefectlite.services.retention import Retention
from prefectlite.services.scheduler import Scheduler
from prefectlite.session import Session
from prefectlite.settings import Settings, load_settings
from prefectlite.storage.source import AnySource
from prefectlite.supervision import restarting


class Runtime:
    """The database, the engine, the agent and the API, open for the length of an `async with` block.

        async with Runtime(flows=[report], database_url="sqlite:///app.sqlite") as runtime:
            app.mount("/prefectlite", runtime.app)
            await report.run(day="2024-03-01")

    The `flows` are registered under `project_name`, and runs of them that are created through the API, and those that an
    earlier process left unfinished, are executed here. Installs no signal handlers. Raises StoreError if the database cannot
    be opened, FlowError if a flow cannot be run.

    Of several on one SQLite file one keeps the services (the rescuer of runs whose process is gone, and the like), and the
    next when that one leaves. With an `address` this is a server, of which there may be one: AlreadyServed names the other.
    """

    def __init__(
        self,
        flows: Iterable[Flow] = (),
        *,
        database_url: str | None = None,
        project_name: str = "default",
        settings: Settings | None = None,
        clock: Clock | None = None,
        agent: bool = True,
        address: str | None = None,
    ) -> None:
        self.settings = settings or load_settings(database_url=database_url)
        self._by_name = settings is not None or database_url is not None
        self._flows = [(flow, source_of(flow, flow.made_in)) for flow in flows]
        self._project_name = project_name
        self._clock = clock
        self._with_agent, self._address = agent, address
        self._catalog = Catalog()
        self._services: set[asyncio.Task[None]] = set()
        self._session: Session | None = None
        self._app: Starlette | None = None

    async def __aenter__(self) -> Runtime:
        if self._session is not None:
            raise RuntimeError("this Runtime is open already")
        if loading_flow.get():
            raise FlowError(
                "a Runtime cannot be opened while a flow's file is loaded: guard it with `if __name__ == '__main__':`"
            )
        self._host = hosting.join(self.settings, self._clock, by_name=self._by_name)
        try:
            self._host.check_loop()
            self._session = await self._host.session()
            self._token = active_session.set(self._host)
            await self._check_alone(self._session)
            for flow, source in self._flows:
                await self.register(flow, source)
            if self._with_agent:
                await self._start_agent(self._session)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop_services()
        if self._session is not None:
            try:
                active_session.reset(self._token)
            except ValueError:  # left in another task than entered, as fixtures do
                active_session.set(None)
        self._session = self._app = None
        if self._host.leave():
            await asyncio.shield(asyncio.wrap_future(self._host.closed))

    @property
    def session(self) -> Session:
        """What is open. Raises RuntimeError outside the `async with` block."""
        if self._session is None:
            raise RuntimeError("the Runtime is not open: use it inside `async with Runtime(...)`")
        return self._session

    @property
    def app(self) -> Starlette:
        """The API and the UI as an ASGI application, to be mounted or served."""
        if self._app is None:
            settings = self.settings
            self._app = create_app(
                self.session,
                allowed_hosts=settings.allowed_hosts,
                allowed_origins=settings.allowed_origins,
                auth=settings.auth,
            )
        return self._app

    async def register(self, flow: Flow, source: AnySource | None = None) -> str:
        """The id of the version of `flow` that is in the database now; runs of it are executed from this very object."""
        row = await register_in(self.session, flow, self._project_name, source or source_of(flow, flow.made_in))
        self._catalog.give(row.id, flow)
        self.session.adopt(flow, row)
        return row.id

    async def stop_services(self) -> None:
        """Begin no more runs; those that are being executed go on."""
        for service in self._services:
            service.cancel()
        if self._services:
            await asyncio.wait(self._services)
        self._services.clear()

    async def _check_alone(self, session: Session) -> None:
        if self._address is None:
            return
        keeper = await asyncio.to_thread(session.duty.take, self._address)
        if keeper is not None and keeper.address is not None:
            raise AlreadyServed(
                f"{session.database.place} is served by another `prefectlite serve` already: process {keeper.pid}, at"
                f" {keeper.address}. Use or stop that one, or name another database with --database"
            )

    async def _start_agent(self, session: Session) -> None:
        scheduler = Scheduler(session)
        labels = self.settings.agent_labels if self.settings.agent else None
        agent = Agent(session, self._catalog, self._begin, partial(Overlap, session), labels)
        is_first = await asyncio.to_thread(session.duty.take, self._address) is None
        others = session.neighbours.names if session.neighbours is not None and not session.duty.is_exclusive else []
        if is_first and not others:
            await scheduler.make_up()  # nobody was there to begin what is due
        session.answers.add(MAY_BEGIN, agent.may_begin)
        self._serve("agent", agent.run)
        self._serve("keeper of the services", lambda: self._keep_services(session, agent, scheduler))

    async def _keep_services(self, session: Session, agent: Agent, scheduler: Scheduler) -> None:
        """What one process does for all that share the database, once it is this one."""
        await session.duty.taken(self._address)
        services = {
            "rescuer": Rescuer(session, agent, self._begin).run,
            "scheduler": scheduler.run,
            "watch over heartbeats": Heartbeats(session).run,
            "retention": Retention(session).run,
            "notifier": Notifier(session).run,
            "automations": AutomationService(session).run,
            "watch over late runs": LateRuns(session).run,
            "watch over pauses": PauseExpiry(session).run,
        }
        async with asyncio.TaskGroup() as group:
            for name, service in services.items():
                group.create_task(restarting(name, service))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        async def of(_: Session) -> None:
            await work

        self._host.submit(of)

    def _serve(self, name: str, service: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(restarting(name, service), name=f"prefectlite {name}", context=contextvars.copy_context())
        self._services.add(task)
