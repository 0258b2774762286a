"""Waiting for a person: what lets a paused task run go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from prefectlite.clock import Clock, from_micros, sleep_until
from prefectlite.engine.units import Unit
from prefectlite.orchestrator.protocols import Orders
from prefectlite.pauses import Pause, expired, pause_in
from prefectlite.records import context_of
from prefectlite.states import Cancelled, Cancelling, Paused, Pending, Resume, State

_logger = logging.getLogger("prefectlite.TaskRunner")


class Pauses:
    """The paused task runs of one flow run. `prompt` asks the person at the terminal, where there is one."""

    def __init__(self, flow_run_id: str, orders: Orders, clock: Clock, prompt: Callable[[str], str] | None) -> None:
        self._flow_run_id, self._orders, self._clock, self._prompt = flow_run_id, orders, clock, prompt
        self._one_at_a_time = asyncio.Lock()

    async def end(self, unit: Unit, paused: Paused) -> State:
        """The state in which `unit` goes on: once its time has come, or somebody at the terminal or elsewhere said so.

        A final one, if nobody came in time.
        """
        ways: list[Coroutine[Any, Any, State]] = [self._set_by_somebody(unit)]
        pause = pause_in(paused.context)
        if paused.start_time is not None:
            ways.append(self._at(paused.start_time))
        if pause.end is not None:
            ways.append(self._expire(pause, from_micros(pause.end)))
        if self._prompt is not None and paused.start_time is None and pause.input is None:
            ways.append(self._approved(unit, self._prompt))
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        return done.pop().result()

    async def _set_by_somebody(self, unit: Unit) -> State:
        record, unit.version = await self._orders.resumed(self._flow_run_id, unit.run_id)
        return Resume(record.message, context=context_of(record.details))

    async def _at(self, start_time: datetime) -> State:
        await sleep_until(self._clock, start_time)
        return Paused(start_time=start_time)

    async def _expire(self, pause: Pause, end: datetime) -> State:
        await sleep_until(self._clock, end)
        over = expired(pause, self._clock.now())
        return Cancelled(over.message) if isinstance(over, Cancelling) else over

    async def _approved(self, unit: Unit, prompt: Callable[[str], str]) -> State:
        who = unit.node.task if unit.index < 0 else f"<Task: {unit.label}>"
        question = f"{who} is currently Paused; enter 'y' to resume:\n"
        async with self._one_at_a_time:
            try:
                while (await asyncio.to_thread(prompt, question)).strip().lower() != "y":
                    pass
            except EOFError:
                _logger.warning("Task '%s' is paused, and there is nobody to ask: resume it through the API", unit.label)
                await asyncio.Event().wait()
        return Resume("Approval given to resume.")


def is_resumed(unit: Unit, state: State, clock: Clock) -> bool:
    """Whether `unit`, which begins a pass in `state`, was paused and goes on: in this process, or in one that is gone."""
    parent = unit.parent
    if not state.context and type(state) is Pending and (parent is None or parent.start is None):
        return False  # as most begin
    is_over = isinstance(state, Paused) and state.start_time is not None and state.start_time <= clock.now()
    of_parent = parent is not None and isinstance(parent.start, Resume)
    return isinstance(state, Resume) or is_over or of_parent or "_resumed" in state.context
