"""One simulation from its seed to its verdict."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from prefectlite import ids, names
from tests.simulation.checker import violations
from tests.simulation.loop import NeverEnds
from tests.simulation.world import Violation, World

#: Far from now, so that ids count up from here and do not ask the computer's clock.
_IN_FUTURE = 1 << 47, "80000000-0000-7000-8000-"


@dataclass
class Outcome:
    """What came of a seed."""

    seed: int
    violations: list[str]
    trace: list[str]
    digest: str
    steps: int
    seconds: float  # on the clock of the simulation

    @property
    def told(self) -> str:
        """What a person wants to know of one that failed."""
        return "\n".join([*self.violations, f"replay it with: python -m tests.simulation {self.seed}"])


def simulate(seed: int) -> Outcome:
    """Let happen what `seed` says, and look at what came of it."""
    with _own_ids(seed), _told() as lines:
        world = World(seed)
        lines.world = world
        loop, found = world.loop, []
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(world.play())
        except (NeverEnds, Violation) as error:
            found.append(str(error))
        if not found:
            found = violations(world)
        else:
            found += world.violations
        world.tell(f"{len(found)} violations, {loop.steps} steps")
        outcome = Outcome(seed, found, world.trace, world.digest, loop.steps, loop.time())
        lines.world = None
        _put_away(world)
        world.connection.close()
    return outcome


def _put_away(world: World) -> None:
    """End every task, also those of dead processes, so that nothing is left to be collected some time later."""
    loop = world.loop

    async def end() -> None:
        me = asyncio.current_task()
        for _ in range(100):
            if not (left := [task for task in loop.unfinished() if task is not me]):
                return
            for task in left:
                task.cancel()
            for _ in range(len(left) + 20):
                await asyncio.sleep(0)

    loop.steps = 0
    for computer in world.computers:
        computer.is_dead = False
        loop.wake(computer)
    with suppress(NeverEnds):
        loop.run_until_complete(end())
    asyncio.set_event_loop(None)
    loop.close()


class _Lines(logging.Handler):
    """What the processes log becomes part of the trace."""

    world: World | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.world is not None and record.levelno >= logging.WARNING:
            error = f" ({record.exc_info[1]!r})" if record.exc_info and record.exc_info[1] else ""
            self.world.tell(f"log: {record.getMessage()}{error}"[:300])


@contextmanager
def _told() -> Iterator[_Lines]:
    logger, lines = logging.getLogger("prefectlite"), _Lines()
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(lines)
    try:
        yield lines
    finally:
        logger.removeHandler(lines)
        logger.propagate = propagates


@contextmanager
def _own_ids(seed: int) -> Iterator[None]:
    before, ids._latest = ids._latest, (*_IN_FUTURE, itertools.count())
    names._dice.seed(seed)
    try:
        yield
    finally:
        ids._latest = before
