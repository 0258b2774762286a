"""What other processes commit, heard of as hints and read from the record for those who listen here.

A hint that is lost costs liveness, not truth.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from prefectlite.live.bus import Bus
from prefectlite.live.events import ALL_RUNS, Event, FlowRunsDeleted, ScheduleNews, SlotNews
from prefectlite.live.hints import Hint
from prefectlite.repository import news
from prefectlite.repository.database import Database

#: Seconds for which hints are gathered before they are sent.
GATHER = 0.02
#: Hints kept for who does not read; then the oldest go.
MOST_HINTS = 1_000


class Hearsay:
    """What neighbours of all kinds have in common."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self.departed = asyncio.Event()  # set when one is gone; who waits for it clears it
        self._database, self._bus = database, bus
        self._heard: deque[Hint] = deque(maxlen=MOST_HINTS)
        self._arrived = asyncio.Event()

    def hear(self, hints: Sequence[Hint]) -> None:
        """Take what another process says."""
        self._heard.extend(hints)
        if hints:
            self._arrived.set()

    async def run(self) -> None:
        """Publish what the others commit to those who listen here, until cancelled."""
        while True:
            while self._heard:
                hint = self._heard[0]
                events = await self._events(hint)  # if it fails, it is the first to be read again
                if self._heard[0] is hint:  # not if so many came meanwhile that it had to go
                    self._heard.popleft()
                self._bus.publish(events)
            self._arrived.clear()
            await self._arrived.wait()

    async def _events(self, hint: Hint) -> list[Event]:
        events: list[Event] = [SlotNews(hint.limits)] if hint.slots else []
        if hint.deleted:
            events.append(FlowRunsDeleted())
        if hint.flow_ids:
            events.append(ScheduleNews(hint.flow_ids))
        if not hint.is_of_states_or_lines:
            return events
        if hint.logs:
            if self._is_heard("logs", hint):
                events.extend(await news.log_lines(self._database, hint.first, hint.last))
            return events
        changes = await news.flow_run_changes(self._database, hint.first, hint.last)
        if self._bus.has_listeners(ALL_RUNS) or self._is_heard("flow_run", hint):
            changes.extend(await news.task_run_changes(self._database, hint.first, hint.last))
        events.extend(sorted(changes, key=lambda event: event.seq))
        return events

    def _is_heard(self, topic: str, hint: Hint) -> bool:
        named = hint.flow_run_ids
        return not named or any(self._bus.has_listeners((topic, run_id)) for run_id in named)
