"""Who waits for whom: counts what has ended, and lets go of what waited for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from prefectlite.engine.plan import Node
from prefectlite.engine.units import Unit
from prefectlite.language.task import Task
from prefectlite.workload import idle


class Progress:
    """The progress of one run. `awake` is called with units that wait for nothing any more."""

    def __init__(self, units: dict[Task, Unit], awake: Callable[[Iterable[Unit]], None]) -> None:
        self._units, self._awake = units, awake
        self._unsettled = len(units)
        self._settling: deque[Unit] = deque()
        self.all_settled = asyncio.Event()

    async def end(self) -> None:
        """Return when all units have ended, or the run is to end all the same."""
        with idle():  # it is the tasks that work
            await self.all_settled.wait()

    def close(self) -> None:
        """Awake nobody any more: the run has ended, and can go."""
        self._awake = _nobody

    def begin(self) -> None:
        """Let go of the units that wait for none."""
        for unit in self._units.values():
            unit.waiting = unit.node.waits_for
        if not self._units:
            self.all_settled.set()
        self._awake([unit for unit in self._units.values() if not unit.waiting])

    def expanded(self, unit: Unit, children: list[Unit]) -> None:
        """A mapped unit has these children."""
        unit.children, unit.unfinished = children, len(children)
        for node in unit.node.on_expanded:
            self._count_down(node)
        if not children:
            self.settle(unit)
        self._awake([child for child in children if not child.waiting])

    def settle(self, unit: Unit) -> None:
        """Count a unit as ended, and awake what waited for it alone."""
        self._settling.append(unit)
        if len(self._settling) == 1:  # otherwise a caller further up works through them: a chain may be long
            while self._settling:
                self._settle_one(self._settling[0])
                self._settling.popleft()

    def _settle_one(self, unit: Unit) -> None:
        unit.settled = True
        if unit.waiters:
            for waiter in unit.waiters:
                waiter.waiting -= 1
            self._awake([waiter for waiter in unit.waiters if not waiter.waiting])
            unit.waiters = None
        if (parent := unit.parent) is not None:
            unit.parent = None  # they know each other: only the garbage collector would get rid of them
            parent.unfinished -= 1
            if not parent.unfinished:
                self.settle(parent)
            return
        for node in unit.node.on_settled:
            self._count_down(node)
        if unit.children is None:
            for node in unit.node.on_expanded:
                self._count_down(node)
        self._unsettled -= 1
        if not self._unsettled:
            self.all_settled.set()

    def _count_down(self, node: Node) -> None:
        follower = self._units[node.task]
        follower.waiting -= 1
        if not follower.waiting:
            self._awake([follower])


def _nobody(units: Iterable[Unit]) -> None:
    """Awakes none."""
