"""The asyncio tasks of one flow run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from prefectlite.engine import guests
from prefectlite.engine.units import Unit
from prefectlite.kept import kept
from prefectlite.workload import Work, active_work


class Crew:
    """Tasks that work on units, begun one by one and ended together.

    Not an `asyncio.TaskGroup`, which waits for its tasks whatever they do: user code may refuse to end.
    """

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error
        self._context = copy_context()  # of the run: what one task's code sets is none of the next one's business
        self._units: dict[asyncio.Task[None], Unit] = {}
        self._works: dict[asyncio.Task[None], Work] = {}  # under a clock that jumps: it waits for each of them
        around = active_work.get()
        self._load = None if around is None else around.load

    def begin(self, unit: Unit, work: Coroutine[Any, Any, None]) -> None:
        """Work on `unit` in a task of its own."""
        context, piece = self._context.copy(), None
        if self._load is not None:
            piece = Work(self._load)
            context.run(active_work.set, piece)
        task = kept(asyncio.get_running_loop().create_task(work, name=unit.label, context=context))
        self._units[task] = unit
        if piece is not None:
            self._works[task] = piece
        task.add_done_callback(self._ended, context=self._context)

    async def dismiss(self, patience: float) -> list[Unit]:
        """Cancel what still works and wait for it, but not longer than `patience` seconds; the units that stay at work."""
        if self._units:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)  # the last of them is about to end
        if self._units:
            with suppress(asyncio.CancelledError):  # it is to be over now
                await guests.dismiss(list(self._units), patience)
            for work in self._works.values():  # nothing waits for those that are left behind
                work.end()
        self._on_error = _ignored
        return list(self._units.values())

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._units[task]
        if self._works:
            self._works.pop(task).end()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)


def _ignored(error: BaseException) -> None:
    """What code raises that was left behind: the run has ended."""
