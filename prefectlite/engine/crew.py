"""The asyncio tasks of one flow run."""

from __future__ import annotations

import asyncio
import itertools
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
        self._numbers = itertools.count()
        self._at_work: dict[int, tuple[asyncio.Task[None], Unit]] = {}
        self._works: dict[int, Work] = {}  # under a clock that jumps: it waits for each of them
        around = active_work.get()
        self._load = None if around is None else around.load

    def begin(self, unit: Unit, work: Callable[[Unit], Coroutine[Any, Any, None]]) -> None:
        """Work on `unit` in a task of its own."""
        context, number = self._context.copy(), next(self._numbers)
        if self._load is not None:
            piece = self._works[number] = Work(self._load)
            context.run(active_work.set, piece)
        working = self._worked(number, unit, work)
        task = kept(asyncio.get_running_loop().create_task(working, name=unit.label, context=context))
        self._at_work[number] = task, unit

    async def dismiss(self, patience: float) -> list[Unit]:
        """Cancel what still works and wait for it, but not longer than `patience` seconds; the units that stay at work."""
        if self._at_work:
            with suppress(asyncio.CancelledError):  # it is to be over now
                await guests.dismiss([task for task, _ in self._at_work.values()], patience)
            for piece in self._works.values():  # nothing waits for those that are left behind
                piece.end()
        self._on_error = _ignored
        return [unit for task, unit in self._at_work.values() if not task.done()]

    async def _worked(self, number: int, unit: Unit, work: Callable[[Unit], Coroutine[Any, Any, None]]) -> None:
        # Not by a callback of the task's, which would take another turn of the loop.
        try:
            await work(unit)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            self._on_error(error)
            if isinstance(error, SystemExit | KeyboardInterrupt):
                raise
        finally:
            del self._at_work[number]
            if self._works:
                self._works.pop(number).end()


def _ignored(error: BaseException) -> None:
    """What code raises that was left behind: the run has ended."""
