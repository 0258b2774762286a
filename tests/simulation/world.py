"""What a seed says: processes that come and go, a wire that fails, a person with wishes; and the record of it all."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from contextvars import Context
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from prefectlite import context
from prefectlite.errors import PrefectliteError
from prefectlite.language.serialized import serialize
from prefectlite.live.hints import Hint
from prefectlite.repository.flows import FlowVersion
from prefectlite.rules.proposals import Proposal, Verdict
from prefectlite.services.catalog import Catalog
from prefectlite.session import Session
from prefectlite.states import FINISHED, Resume
from tests.simulation import flows
from tests.simulation.computer import Computer, hear, see_departure
from tests.simulation.faults import empty_database
from tests.simulation.loop import SimulatedClock, SimulatedLoop, current_machine

#: Seconds after all has calmed down in which every run must end.
PATIENCE = 1_200.0


class Violation(AssertionError):
    """Something happened that must not."""


class World:
    """Everything there is in one simulation."""

    def __init__(self, seed: int) -> None:
        self.loop = SimulatedLoop(seed)
        self.dice = dice = random.Random(f"world {seed}")
        self.clock = SimulatedClock(self.loop)
        self.connection = empty_database()
        self.trace: list[str] = []
        self._digest = hashlib.sha256()
        #: Whether the database is a server, which may take a live process for gone.
        self.is_server = dice.random() < 0.5
        self.fault_rate = dice.choice((0.0, 0.01, 0.03, 0.1))
        self.stalls = self.is_server and dice.random() < 0.4  # a time of stalls and nothing else
        self.crash_rate = dice.choice((0.0, 0.0, 0.005, 0.02))
        self.plans = [flows.plan(dice) for _ in range(dice.choice((1, 1, 2)))]
        self.graphs = [
            flows.build(number, made, functools.partial(self._started, number)) for number, made in enumerate(self.plans)
        ]
        self.versions = [
            FlowVersion(serialize(graph), f"digest {number}", None, {"type": "simulated"})
            for number, graph in enumerate(self.graphs)
        ]
        self.computers: list[Computer] = []
        self.gone: set[str] = set()  # the owner ids of those that are gone, or seem to be
        self.answers: list[tuple[Proposal, Verdict, str]] = []
        self.restarts: set[str] = set()  # ids of states that may follow a final one
        self.starts: Counter[tuple[str, int, int]] = Counter()  # of a task's code, by flow run, task and map index
        self.created: dict[str, int] = {}  # the runs that the person was told of, and of which flow each is
        self.cancelled: set[str] = set()  # those that may have been asked to end
        self.is_calm = False
        self.violations: list[str] = []  # seen on the way

    # -- what is told ---------------------------------------------------------------------------------------------------

    def tell(self, event: str) -> None:
        """Write into the trace."""
        line = f"{self.loop.time():11.5f} {self.loop.steps:6d} {event}"
        self.trace.append(line)
        self._digest.update(line.encode())

    @property
    def digest(self) -> str:
        """By which two simulations are known to be the same."""
        return self._digest.hexdigest()

    def _started(self, flow: int, number: int) -> None:
        """The code of a task begins."""
        computer: Any = current_machine.get()
        run_id, index = context["flow_run_id"], context["map_index"]
        index = -1 if index is None else index
        self.starts[run_id, number, index] += 1
        self.tell(f"{computer.name} starts t{number}[{index}] of {run_id[-4:]}, attempt {context['task_run_count']}")
        ((epoch,),) = self.connection.execute("SELECT lease_epoch FROM flow_run WHERE id = ?", (run_id,)).fetchall()
        rows = self.connection.execute("SELECT state FROM task_run WHERE id = ?", (context["task_run_id"],)).fetchall()
        if epoch == computer.leases.get(run_id) and rows and rows[0][0] in FINISHED:
            self.violations.append(f"t{number}[{index}] of run {run_id[-4:]} is {rows[0][0]} and started by {computer.name}")

    # -- computers ------------------------------------------------------------------------------------------------------

    def present(self) -> list[Computer]:
        """Those that can be heard of."""
        return [computer for computer in self.computers if not computer.is_dead and computer.presence is not None]

    def start_computer(self) -> Computer:
        """One process more."""
        computer = Computer(self, f"p{len(self.computers)}")
        self.computers.append(computer)
        return computer

    def crash(self, computer: Computer, why: str) -> None:
        """Nothing of this process ever happens again."""
        if computer.is_gone or self.is_calm:
            return
        self.tell(f"{computer.name} crashes {why}")
        computer.is_dead = True
        self.gone.add(computer.owner_id)
        self.departed(computer)

    def stall(self, computer: Computer) -> None:
        """A process stands still; a server may take it for gone."""
        self.tell(f"{computer.name} stalls")
        computer.is_stalled = True
        if self.is_server and self.dice.random() < 0.9:
            self.tell(f"{computer.name} seems to be gone")
            self.gone.add(computer.owner_id)
            self.departed(computer)

    def wake(self, computer: Computer) -> None:
        """It goes on, as if nothing had been."""
        if not computer.is_stalled:
            return
        self.tell(f"{computer.name} goes on")
        if not computer.is_gone:
            self.gone.discard(computer.owner_id)
        self.loop.wake(computer)

    def departed(self, computer: Computer) -> None:
        """The others notice after a while."""
        for other in self.computers:
            if other is not computer and not other.is_gone:
                self._later(self.dice.random() * self.dice.choice((0.1, 1.0, 5.0)), see_departure, other)

    def spread(self, sender: Computer, hints: Sequence[Hint]) -> None:
        """The others hear of a commit, if the process itself lives long enough."""
        if hints and not sender.is_dead:
            self.loop.call_later(0.02, self._spread_now, sender, list(hints), context=sender._context)

    def _spread_now(self, sender: Computer, hints: Sequence[Hint]) -> None:
        for other in self.present():
            if other is not sender:
                self._later(self.dice.random() * 0.01, hear, other, hints)

    def _later(self, delay: float, function: Any, *args: Any) -> None:
        self.loop.call_later(delay, function, *args, context=Context())

    async def register(self, session: Session, catalog: Catalog) -> None:
        """What a process does with its flows when it starts."""
        project = await session.client.project_named("default")
        for graph, version in zip(self.graphs, self.versions, strict=True):
            row = await session.client.save_flow(replace(version, project_id=project))
            catalog.give(row.id, graph)
            session.adopt(graph, row)

    # -- the story ------------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """All that happens, until every run has ended."""
        for _ in range(self.dice.choice((1, 2, 2, 3)) + self.stalls):
            self.start_computer()
        wishes = [self.loop.create_task(self._wish(number)) for number in range(self.dice.choice((1, 2, 3)))]
        resuming = self.loop.create_task(self._resume())
        for _ in range(self.dice.choice((0, 1, 2, 3, 5)) + self.stalls):
            pause = 2.0 if self.stalls else self.dice.choice((0.003, 0.03, 0.3, 3.0))
            await asyncio.sleep(pause * self.dice.random() * 2)
            await self._trouble()
        await asyncio.sleep(self.dice.random() * 20)
        await self._calm_down()
        await asyncio.wait(wishes)
        for wish in wishes:
            wish.result()
        await self._all_ended()
        resuming.cancel()
        for computer in self.computers:
            if not computer.is_gone:
                computer.stop()
        await asyncio.wait([computer._main for computer in self.computers if not computer.is_dead], timeout=60)

    async def _trouble(self) -> None:
        dice, alive = self.dice, [computer for computer in self.computers if not computer.is_gone]
        kind = "stall" if self.stalls else dice.choice(("crash", "crash", "stall", "stop", "start"))
        if kind == "start" or not alive:
            if len(alive) < 4:
                self.start_computer()
            return
        computer = dice.choice(alive)
        if kind == "crash":
            self.crash(computer, "by itself")
        elif kind == "stop":
            computer.stop()
        elif not computer.is_stalled:
            self.stall(computer)
            self._later(dice.choice((0.1, 10.0, 20.0, 60.0)) * dice.random(), self.wake, computer)
        if dice.random() < 0.6:
            await asyncio.sleep(dice.random())
            self.start_computer()

    async def _calm_down(self) -> None:
        """From here on nothing goes wrong, and what was stopped goes on. Somebody is there."""
        self.tell("calm")
        self.fault_rate, self.is_calm = 0.0, True
        for computer in self.computers:
            self.wake(computer)
        if all(computer.is_gone or not computer.is_open for computer in self.computers):
            self.start_computer()

    async def _all_ended(self) -> None:
        until = self.loop.time() + PATIENCE
        while left := self.connection.execute(
            f"SELECT id, state, owner FROM flow_run WHERE state NOT IN {_FINISHED}"
        ).fetchall():
            if self.loop.time() > until:
                owners = {computer.owner_id: computer.name for computer in self.computers}
                told = [(run_id[-4:], state, owners.get(owner, owner)) for run_id, state, owner in left]
                raise Violation(f"these runs do not end: {told}")
            if all(computer.is_gone for computer in self.computers):
                self.start_computer()
            await asyncio.sleep(1)

    # -- the person -----------------------------------------------------------------------------------------------------

    async def _wish(self, number: int) -> None:
        """Somebody wants a run, asks until it is there, and may want it no more."""
        dice = random.Random(f"wish {number} {self.dice.random()}")
        await asyncio.sleep(dice.random() * 3)
        flow, later = dice.randrange(len(self.graphs)), dice.choice((0.0, 0.0, 10.0))
        start = self.clock.now() + timedelta(seconds=later) if later else None

        async def create(session: Session) -> str:
            ((flow_id,),) = self.connection.execute("SELECT id FROM flow WHERE name = ?", (f"flow {flow}",)).fetchall()
            return await session.client.create_flow_run(
                flow_id=flow_id, idempotency_key=f"wish {number}", scheduled_start_time=start
            )

        run_id = await self._ask(create)
        self.tell(f"run {run_id[-4:]} of flow {flow} is there")
        self.created[run_id] = flow
        if dice.random() < 0.25:
            await asyncio.sleep(dice.choice((0.01, 0.3, 3.0)) * dice.random())
            self.cancelled.add(run_id)
            told = await self._ask(lambda session: session.client.cancel_flow_run(run_id))
            self.tell(f"run {run_id[-4:]} is to end: {told}")

    async def _ask(self, question: Any) -> Any:
        """The answer of some process; asked again, of any of them, when there is none."""
        while True:
            open_ones = [computer for computer in self.computers if computer.is_open and not computer.is_gone]
            if open_ones:
                computer = self.dice.choice(open_ones)
                asking = computer.begin(question(computer.session))
                await asyncio.wait([asking], timeout=30)
                if asking.done() and not asking.cancelled() and asking.exception() is None:
                    return asking.result()
                if asking.done() and not asking.cancelled() and not isinstance(asking.exception(), PrefectliteError):
                    raise Violation(f"a person gets {asking.exception()!r}")
            elif self.is_calm and all(computer.is_gone for computer in self.computers):
                self.start_computer()
            await asyncio.sleep(0.5)

    async def _resume(self) -> None:
        """Somebody lets paused tasks go on, now and then."""
        while True:
            await asyncio.sleep(0.5 + self.dice.random() * 3)
            paused = self.connection.execute(
                "SELECT t.id, t.version FROM task_run t JOIN flow_run r ON r.id = t.flow_run_id"
                " WHERE t.state = 'Paused' AND t.state_start_time IS NULL AND r.state = 'Running' ORDER BY t.id"
            ).fetchall()
            for run_id, version in paused:
                self.tell(f"task run {run_id[-4:]} is to go on")
                go_on = functools.partial(_resumed, run_id, version)
                await self._ask(go_on)


async def _resumed(run_id: str, version: int, session: Session) -> None:
    try:
        await session.client.set_task_run_state(run_id, Resume(), version)
    except PrefectliteError as error:
        if error.code != "TRANSITION_REFUSED":  # somebody did it
            raise


_FINISHED = "('" + "', '".join(sorted(FINISHED)) + "')"
