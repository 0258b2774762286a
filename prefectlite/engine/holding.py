"""A run that somebody has paused: it begins nothing more until it is resumed; what is executing goes on to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import copy_context
from typing import Any

from prefectlite.clock import from_micros, sleep_until
from prefectlite.engine.surroundings import Surroundings
from prefectlite.engine.units import Unit
from prefectlite.ids import new_id
from prefectlite.kept import kept
from prefectlite.pauses import Pause, expired, pause_of
from prefectlite.records import record_state
from prefectlite.rules.proposals import FlowRunProposal
from prefectlite.states import FINISHED
from prefectlite.workload import idle


class Hold:
    """Holds the units of one run back while the record has it Paused. `awake` is given them when it goes on.

    Before, `look` sees what people have made of task runs that have not begun.
    """

    def __init__(
        self,
        flow_run_id: str,
        around: Surroundings,
        awake: Callable[[Iterable[Unit]], None],
        look: Callable[[], Awaitable[None]],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._flow_run_id, self._around = flow_run_id, around
        self._awake, self._look, self._fail = awake, look, fail
        self._context = copy_context()
        self._held: list[Unit] = []
        self._told = 0  # how often somebody said that the run is paused
        self._watching: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._over.set()

    @property
    def is_on(self) -> bool:
        """Whether nothing may begin."""
        return not self._over.is_set()

    def begin(self) -> None:
        """The run is paused, as somebody says: the record is asked whether it still is, and until when."""
        self._told += 1
        self._over.clear()
        if self._watching is None:
            self._watching = kept(asyncio.get_running_loop().create_task(self._watch(), context=self._context.copy()))

    def hand_on(self, units: Iterable[Unit]) -> None:
        """Awake these units, now or when the run goes on."""
        if self.is_on:
            self._held.extend(units)
        else:
            self._awake(units)

    async def over(self) -> None:
        """Return when something may begin."""
        while self.is_on:
            with idle():
                await self._over.wait()

    def close(self) -> None:
        """Watch no more, and know nothing of the run any more, which has ended here."""
        if self._watching is not None:
            self._watching.cancel()
        self._awake = self._fail = _nobody_waits
        self._look = _nothing_to_see

    async def _watch(self) -> None:
        try:
            while True:
                told = self._told
                state, version = await self._around.reader.flow_run_state(self._flow_run_id)
                if state.name == "Paused":
                    await self._paused(version, pause_of(state))
                elif state.name == "Cancelling" or state.name in FINISHED:
                    return  # it is being stopped
                elif told == self._told:
                    await self._look()
                    if told == self._told:
                        break
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fail(error)
            return
        self._watching = None
        self._over.set()
        held, self._held = self._held, []
        self._awake(held)

    async def _paused(self, version: int, pause: Pause) -> None:
        """Return when the run has moved on, or nobody has resumed it in time."""
        ways: list[Coroutine[Any, Any, None]] = [self._around.orders.moved_on(self._flow_run_id, version)]
        if pause.end is not None:
            ways.append(self._expire(version, pause, pause.end))
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        for task in done:
            task.result()

    async def _expire(self, version: int, pause: Pause, end: int) -> None:
        clock = self._around.clock
        await sleep_until(clock, from_micros(end))
        record = record_state(expired(pause, clock.now()), new_id(), clock.micros())
        # Refused if somebody was faster, who may be the watch over pauses of a server.
        await self._around.orchestrator.propose(FlowRunProposal(self._flow_run_id, record, version))


async def _nothing_to_see() -> None:
    """What a hold whose run has ended looks at."""


def _nobody_waits(_: object) -> None:
    """What a hold does whose run has ended: with references to it, only the garbage collector would get rid of both."""
