"""Runs made beforehand, as schedules say: each event of a schedule is one run, known by the event's key."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from prefectlite.clock import Clock, from_micros, to_micros
from prefectlite.errors import BadRequest, PrefectliteError
from prefectlite.ids import new_id
from prefectlite.lazily import lazily
from prefectlite.orchestrator.protocols import Orchestrator
from prefectlite.records import record_state
from prefectlite.repository import scheduled
from prefectlite.repository.database import Database
from prefectlite.repository.flows import OWN, forget_scheduled
from prefectlite.repository.scheduled import ScheduledFlow
from prefectlite.rules.proposals import FlowRunProposal
from prefectlite.states import Cancelled

if TYPE_CHECKING:
    from prefectlite.schedules import Schedule, documents, events
    from prefectlite.schedules.events import ClockEvent
else:  # most processes have no schedules
    documents, events = lazily("prefectlite.schedules.documents"), lazily("prefectlite.schedules.events")

#: So many runs of a flow are made beforehand, those within the horizon; at least the next one.
MOST_AHEAD, HORIZON = 10, timedelta(days=30)
#: So many missed runs are made up for at most.
MOST_MISSED = 1_000
#: A run is missed if it was not begun so long after it was due.
LATE = timedelta(seconds=15)
_KEY = "auto-scheduled:"
_logger = logging.getLogger("prefectlite.scheduler")
Create = Callable[..., Awaitable[str]]


class Schedules:
    """Makes the runs that schedules ask for; `create` makes one, as `LocalClient.create_flow_run` does."""

    def __init__(self, database: Database, orchestrator: Orchestrator, clock: Clock, create: Create) -> None:
        self._database, self._orchestrator, self._clock, self._create = database, orchestrator, clock, create
        #: Flows whose schedule was changed here, for who keeps an eye on them.
        self.changed: set[str] = set()
        self.has_changed = asyncio.Event()
        self._one_by_one = asyncio.Lock()

    async def active_flows(self) -> list[str]:
        """The ids of the flows whose schedule is on."""
        return await scheduled.active_flows(self._database)

    async def check(self, flow_id: str) -> bool:
        """Whether the flow has a schedule. Raises BadRequest if that leaves a required parameter without a value."""
        flow = await scheduled.scheduled_flow(self._database, flow_id, active=False)
        if flow is None:
            return False
        missing = flow.without_value()
        if missing and any(missing - set(clock.get("parameter_defaults") or ()) for clock in flow.schedule["clocks"]):
            raise BadRequest("Can not schedule a flow that has required parameters.")
        await asyncio.to_thread(documents.schedule_from, flow.schedule)  # raises what is wrong with it
        return True

    def note_change(self, flow_id: str) -> None:
        """Let who keeps an eye on schedules look at this flow at once."""
        self.changed.add(flow_id)
        self.has_changed.set()

    async def begin(self, flow_id: str, name: str) -> None:
        """Make the first runs of a flow that was just registered; what keeps it from that is logged."""
        try:
            await self.check(flow_id)
            await self.plan(flow_id)
        except PrefectliteError as error:
            _logger.error("Flow %r is registered and does not run by its schedule: %s", name, error)
        self.note_change(flow_id)

    async def plan(self, flow_id: str) -> datetime | None:
        """Make the next runs of a flow, but for those that are made; when to come back, if it runs by a schedule at all."""
        async with self._one_by_one:
            return await self._plan(flow_id)

    async def change(self, write: Callable[[], Awaitable[Iterable[str]]]) -> None:
        """Have `write` change schedules, with nothing planned in between, and make the next runs of the flows it names."""
        async with self._one_by_one:
            for flow_id in await write():
                await self._plan(flow_id)
                self.note_change(flow_id)

    async def _plan(self, flow_id: str) -> datetime | None:
        flow = await scheduled.scheduled_flow(self._database, flow_id)
        while flow is not None:
            again = await self._make_next(flow)
            made_for, flow = flow, await scheduled.scheduled_flow(self._database, flow_id)
            if flow is not None and flow.schedule == made_for.schedule:
                return again
            # Another process has changed the schedule meanwhile, which could not know of the runs that were just made.
            await self._database.write(lambda tx: forget_scheduled(tx, "flow_id = $1", flow_id))
        return None

    async def _make_next(self, flow: ScheduledFlow) -> datetime | None:
        """Make the next runs, but for those that are made; when the first of them is due."""
        now = self._clock.now()
        schedule, found = await asyncio.to_thread(_upcoming, flow.schedule, now)
        if not found:
            return None
        near = [event for event in found if event.start_time <= now + HORIZON] or found[:1]
        await self._make(flow, schedule, near)
        return events.in_utc(near[0].start_time)

    async def make_up(self, flow_id: str) -> int:
        """Do what the schedule says about runs that nobody began when they were due; how many were left out."""
        flow = await scheduled.scheduled_flow(self._database, flow_id)
        if flow is None or (flow.runtime != OWN and "missed" not in flow.schedule):
            return 0  # agents of Prefect 1.x begin whatever is due
        schedule = await asyncio.to_thread(documents.schedule_from, flow.schedule)
        now = self._clock.now()
        if schedule.missed != "skip":
            await self._make_missed(flow, schedule, now)
        missed = await scheduled.waiting_runs(self._database, flow_id, to_micros(now - LATE))
        kept = {"skip": 0, "latest": 1, "all": MOST_MISSED}[schedule.missed]
        oldest = now - schedule.missed_window if schedule.missed_window else None
        wanted = {run_id for run_id, due in missed[-kept:] if kept and (oldest is None or from_micros(due) >= oldest)}
        left_out = [run_id for run_id, _ in missed if run_id not in wanted]
        for run_id in left_out:
            message = "Nobody was there to begin this run when it was due, and its schedule does not make up for it."
            record = record_state(Cancelled(message), new_id(), self._clock.micros())
            await self._orchestrator.propose(FlowRunProposal(run_id, record))
        return len(left_out)

    async def backfill(self, flow_id: str, start: datetime, end: datetime) -> list[str]:
        """The ids of the runs made for the events from `start` up to `end` that have none. Raises BadRequest."""
        flow = await scheduled.scheduled_flow(self._database, flow_id, active=False)
        if flow is None:
            raise BadRequest(f"Flow {flow_id} has no schedule")
        schedule, found = await asyncio.to_thread(_between, flow.schedule, start, end)
        if len(found) > MOST_MISSED:
            raise BadRequest(f"From {start} to {end} there are more than {MOST_MISSED:,} runs: backfill shorter ranges")
        return await self._make(flow, schedule, found, auto_scheduled=False)

    async def _make_missed(self, flow: ScheduledFlow, schedule: Schedule, now: datetime) -> None:
        """Make the runs that would have been made while nobody was there."""
        last = await scheduled.last_made(self._database, flow.id)
        if last is None:
            return
        start = from_micros(last)
        if schedule.missed_window is not None:
            start = max(start, now - schedule.missed_window)
        _, found = await asyncio.to_thread(_between, flow.schedule, start, now)
        await self._make(flow, schedule, found[-(1 if schedule.missed == "latest" else MOST_MISSED) :])

    async def _make(
        self, flow: ScheduledFlow, schedule: Schedule, wanted: Iterable[ClockEvent], *, auto_scheduled: bool = True
    ) -> list[str]:
        keyed = {_KEY + events.event_key(event): event for event in wanted}
        known = await scheduled.known_keys(self._database, flow.id, keyed)
        making = [
            self._create(
                flow_id=flow.id,
                parameters=event.parameter_defaults,
                labels=event.labels,
                scheduled_start_time=event.start_time,
                idempotency_key=key,
                auto_scheduled=auto_scheduled,
                delay=_delay(schedule, flow.id + key) if auto_scheduled else None,
            )
            for key, event in keyed.items()
            if key not in known
        ]
        return await asyncio.gather(*making)  # so that they are committed together


def _upcoming(document: dict[str, Any], now: datetime) -> tuple[Schedule, list[ClockEvent]]:
    schedule = documents.schedule_from(document)
    return schedule, schedule.next(MOST_AHEAD, now, return_events=True)


def _between(document: dict[str, Any], start: datetime, end: datetime) -> tuple[Schedule, list[ClockEvent]]:
    schedule = documents.schedule_from(document)
    found = schedule.next(MOST_MISSED + 1, start - timedelta(microseconds=1), return_events=True)
    return schedule, [event for event in found if event.start_time <= end]


def _delay(schedule: Schedule, seed: str) -> timedelta | None:
    """How much later than its event a run begins: the same for the same event, whoever asks."""
    return None if schedule.jitter is None else schedule.jitter * random.Random(seed).random()
