"""What others want of runs that are executed in this process, heard from its bus."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from prefectlite.live.bus import Bus, Subscription
from prefectlite.live.events import StateChange
from prefectlite.orchestrator.protocols import RunReader

#: Seconds after which the record is asked: a process that set a task run to go on may have been killed before it told us.
LOOK_AGAIN = 60.0
_GOING_ON = frozenset({"Pending", "Scheduled", "Resume", "Retrying"})


class HeardOrders:
    """Orders for the runs whose news the bus carries."""

    def __init__(self, bus: Bus, reader: RunReader) -> None:
        self._bus, self._reader = bus, reader

    async def resumed(self, flow_run_id: str, task_run_id: str) -> int:
        """Return, with the task run's version, when somebody has set a paused task run to go on."""
        with self._bus.subscribe(("flow_run", flow_run_id)) as subscription:
            while True:
                state, version = await self._reader.task_run_state(task_run_id)
                if state in _GOING_ON:  # between its pause and now
                    return version
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN):
                        return await _going_on(subscription, task_run_id)


async def _going_on(subscription: Subscription, task_run_id: str) -> int:
    async for event in subscription:
        if isinstance(event, StateChange) and event.task_run_id == task_run_id and event.state.name in _GOING_ON:
            return event.version
    raise RuntimeError("the bus was closed while a task run was paused")
