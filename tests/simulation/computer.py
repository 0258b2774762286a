"""A simulated process: a session with its agent and its rescuer, over a wire to the one database."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from prefectlite.engine.surroundings import Surroundings
from prefectlite.errors import StoreUnavailable
from prefectlite.ids import new_id
from prefectlite.kept import kept
from prefectlite.live.bus import Bus
from prefectlite.live.hints import Hint
from prefectlite.orchestrator.company import Company
from prefectlite.orchestrator.duty import Duty
from prefectlite.orchestrator.hearsay import Hearsay
from prefectlite.repository.database import Database
from prefectlite.rules.proposals import Accept, FlowRunProposal
from prefectlite.services.agent import Agent
from prefectlite.services.catalog import Catalog
from prefectlite.services.overlap import Overlap
from prefectlite.services.rescuer import Rescuer
from prefectlite.session import Session
from prefectlite.settings import Settings
from prefectlite.supervision import restarting
from tests.simulation.faults import Fault, FaultyDatabase
from tests.simulation.loop import Machine, current_machine

if TYPE_CHECKING:
    from tests.simulation.world import World

SETTINGS = Settings(database_url="sqlite://:memory:", blocked_loop_seconds=0, log_level="INFO")


class Presence(Hearsay):
    """This computer as the others see it, and what it hears of them."""

    def __init__(self, computer: Computer, database: Database, bus: Bus) -> None:
        super().__init__(database, bus)
        self.id = computer.owner_id
        self._computer, self._world = computer, computer.world

    @property
    def names(self) -> list[str]:
        return [other.name for other in self._world.present() if other is not self._computer]

    async def open(self) -> None:
        """Be there."""
        self._computer.presence = self

    async def aclose(self) -> None:
        """Say good-bye."""
        self._computer.presence = None
        self._world.departed(self._computer)

    async def is_gone(self, owner: str) -> bool:
        """Whether the process with the owner id `owner` has ended, as far as can be told."""
        await asyncio.sleep(self._world.loop.dice.random() * 0.01)
        return owner in self._world.gone

    def close(self) -> None:
        """Be gone, as others see it."""
        self._world.gone.add(self.id)


class ThreadsOnTheLoop:
    """Stands in for worker threads: what is submitted is called in one step of the loop."""

    def submit(self, work: Callable[[], Any], *, tell_begin: bool = False) -> Any:
        loop = asyncio.get_running_loop()
        result = loop.create_future()

        def call() -> None:
            if result.done():
                return
            try:
                result.set_result(work())
            except BaseException as error:
                result.set_exception(error)

        loop.call_soon(call)
        return SimpleNamespace(result=result, begun=None)

    def resize(self, change: int) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class SimulatedSession(Session):
    """A session without threads."""

    def _surroundings(self) -> Surroundings:
        around = super()._surroundings()
        around.caller.threads = ThreadsOnTheLoop()  # type: ignore[assignment]
        return around


class Computer(Machine):
    """One process from its start to its end; after a crash there is a new one."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(name)
        self.world = world
        self.owner_id = new_id()
        self.presence: Presence | None = None
        self.session: SimulatedSession | None = None
        self.leases: dict[str, int] = {}  # those it was granted, by run
        self.is_open = False
        self._stopping = asyncio.Event()
        self._work: set[asyncio.Task[Any]] = set()
        self._context = contextvars.copy_context()
        self._context.run(current_machine.set, self)
        self._main = self.begin(self._live())

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do some work in this process."""
        return kept(self.world.loop.create_task(work, context=self._context.copy()))

    def stop(self) -> None:
        """Ask it to leave in good order."""
        self._stopping.set()

    @property
    def is_gone(self) -> bool:
        """Whether it has ended, however."""
        return self.is_dead or self._main.done()

    async def _live(self) -> None:
        world = self.world
        database = FaultyDatabase(world.loop, world.connection, self)
        session = SimulatedSession(SETTINGS, database, world.clock, self._company)
        try:
            self._witness(session)
            async with session.at_work():
                self.session = session
                await self._serve(session)
        except Exception as error:
            world.tell(f"{self.name} ended with {error!r}")
        finally:
            self.is_open = False
            database.is_closed = True
            world.gone.add(self.owner_id)
            world.tell(f"{self.name} is closed")

    def _company(self, database: Database, bus: Bus) -> Company:
        presence = Presence(self, database, bus)
        return Company(presence, presence, Duty(None, None))

    async def _serve(self, session: Session) -> None:
        """What a Runtime does."""
        catalog = Catalog()
        await self.world.register(session, catalog)
        agent = Agent(session, catalog, self._begin, partial(Overlap, session))
        rescuer = Rescuer(session, agent, self._begin)
        await rescuer.rescue()
        services = [
            self.begin(restarting(name, service)) for name, service in (("agent", agent.run), ("rescuer", rescuer.run))
        ]
        self.is_open = True
        self.world.tell(f"{self.name} is open")
        try:
            await self._stopping.wait()
        finally:
            self.is_open = False
            for service in services:
                service.cancel()
            await asyncio.wait(services)
            session.interrupt()
            if self._work:
                await asyncio.wait(self._work)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.begin(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _witness(self, session: Session) -> None:
        """Let the world know what this process proposes, and what it is answered."""
        door, world = session.orchestrator, self.world
        commit, deliver = door._commit, door._deliver

        async def committed(pending: Sequence[Any], **options: Any) -> None:
            world.restarts.update(one.proposal.state.id for one in pending if one.proposal.restart)
            await commit(pending, **options)

        async def delivered(pending: Sequence[Any], verdicts: Sequence[Any]) -> None:
            for proposal, verdict in zip([one.proposal for one in pending], verdicts, strict=True):
                world.answers.append((proposal, verdict, self.name))
                if isinstance(proposal, FlowRunProposal) and isinstance(verdict, Accept) and verdict.lease is not None:
                    self.leases[proposal.run_id] = verdict.lease
            await deliver(pending, verdicts)

        door._commit, door._deliver = committed, delivered  # type: ignore[method-assign]

    # -- Faults: what goes wrong on its wire --------------------------------------------------------------------------

    def of_call(self, method: str) -> Fault | None:
        dice = self.world.loop.dice
        if dice.random() >= self.world.fault_rate:
            return None
        return dice.choice((Fault.FAIL_BEFORE, Fault.FAIL_AFTER, Fault.FAIL_AFTER, Fault.DELAY, Fault.DUPLICATE))

    def of_statement(self, method: str) -> Fault | None:
        return Fault.FAIL_BEFORE if self.world.loop.dice.random() < self.world.fault_rate / 10 else None

    def latency(self, fault: Fault | None) -> float:
        dice = self.world.loop.dice
        if fault is Fault.DELAY:
            return dice.choice((0.1, 1.0, 10.0)) * dice.random()
        return 0.0005 + dice.random() * 0.002

    def arrived(self, method: str, fault: Fault | None) -> None:
        if self.is_dead and not self.world.is_server:
            raise StoreUnavailable("simulated: who is dead writes no more to a file")
        if fault is not None:
            self.world.tell(f"{self.name} {method}: {fault.name}")
        if method == "write" and self.world.loop.dice.random() < self.world.crash_rate:
            self.world.crash(self, "before a commit")

    def done(self, method: str, hints: Sequence[Hint]) -> None:
        if method != "write":
            return
        self.world.tell(f"{self.name} commits {[(hint.first, hint.last) for hint in hints]}")
        self.world.spread(self, hints)
        if self.world.loop.dice.random() < self.world.crash_rate:
            self.world.crash(self, "after a commit")


def hear(computer: Computer, hints: Sequence[Hint]) -> None:
    """Let a computer hear of what another one committed."""
    if computer.presence is not None and not computer.is_dead:
        computer.presence.hear(hints)


def see_departure(computer: Computer) -> None:
    """Let a computer notice that another one is gone."""
    if computer.presence is not None and not computer.is_dead:
        computer.presence.departed.set()
