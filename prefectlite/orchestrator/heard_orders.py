"""What others want of runs that are executed in this process, heard from its bus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from prefectlite.live.bus import Bus, Subscription
from prefectlite.live.events import StateChange
from prefectlite.orchestrator.protocols import RunReader
from prefectlite.records import StateRecord

#: Seconds after which the record is asked: a process that set a task run to go on may have been killed before it told us.
LOOK_AGAIN = 60.0
_GOING_ON = frozenset({"Pending", "Scheduled", "Resume", "Retrying"})


class HeardOrders:
    """Orders for the runs whose news the bus carries."""

    def __init__(self, bus: Bus, reader: RunReader) -> None:
        self._bus, self._reader = bus, reader

    async def resumed(self, flow_run_id: str, task_run_id: str) -> tuple[StateRecord, int]:
        """Return, with the task run's state and version, when somebody has set a paused task run to go on."""

        def is_it(event: StateChange) -> bool:
            return event.task_run_id == task_run_id and event.state.name in _GOING_ON

        with self._bus.subscribe(("flow_run", flow_run_id)) as subscription:
            while True:
                state, version = await self._reader.task_run_state(task_run_id)
                if state.name in _GOING_ON:  # between its pause and now
                    return state, version
                if (event := await _heard(subscription, is_it)) is not None:
                    return event.state, event.version

    async def moved_on(self, flow_run_id: str, version: int) -> None:
        """Return when the flow run is not at this version any more."""

        def is_it(event: StateChange) -> bool:
            return event.kind == "flow_run" and event.version > version

        with self._bus.subscribe(("flow_run", flow_run_id)) as subscription:
            while (await self._reader.flow_run_state(flow_run_id))[1] == version:
                if await _heard(subscription, is_it) is not None:
                    return


async def _heard(subscription: Subscription, is_it: Callable[[StateChange], bool]) -> StateChange | None:
    """The next event of which `is_it` is true; None if none comes for a while."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_AGAIN):
            async for event in subscription:
                if isinstance(event, StateChange) and is_it(event):
                    return event
        raise RuntimeError("the bus was closed while a run was paused")
    return None
