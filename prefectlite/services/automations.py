"""Does what automations say about what happens to runs: once for each run, however often the service begins anew."""

from __future__ import annotations

import asyncio
import functools
import logging
from datetime import timedelta

from prefectlite.client.hooks import is_among
from prefectlite.clock import to_micros
from prefectlite.errors import BadRequest, NotFound, PrefectliteError, StoreError
from prefectlite.ids import new_id
from prefectlite.live.events import ALL_FLOW_RUNS, Event, StateChange
from prefectlite.repository import automations, history
from prefectlite.repository.automations import EXECUTING, WAITING, Automation, Firing
from prefectlite.repository.database import Transaction
from prefectlite.repository.hooks import Delivery, delivery_id
from prefectlite.services.alarm import BY_AND_BY, SOON, Alarm
from prefectlite.session import Session

#: How many runs may follow from each other: an automation may run the flow whose runs it watches.
DEEPEST = 5
#: Where a run says how many automations it follows from.
DEPTH = "automation_depth"
#: Days for which it is known what was done about runs that are gone.
_KEPT = timedelta(days=30)
_READER = "automations"
_SECOND = 1_000_000
_logger = logging.getLogger("prefectlite.automations")


class AutomationService:
    """Reads on in the history when there is news, and comes back when the first run would be late or too long.

    With no automations it asks the record whether there are any when there is news, and nothing else.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._alarm = Alarm(session.clock)
        self._timed: list[Automation] = []
        self._read_up_to = 0

    async def run(self) -> None:
        """Do what is to be done, until cancelled."""
        with self._session.bus.subscribe(ALL_FLOW_RUNS) as subscription:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work())
                group.create_task(self._hear_changes())
                async for event in subscription:
                    self._hear(event)
                    if subscription.take_lagged():
                        self._alarm.earlier(self._session.clock.micros())

    async def look(self) -> bool:
        """Do what is to be done now, and set the alarm for what is next; whether there are automations of states."""
        found = await automations.active(self._session.database)
        of_states = [one for one in found if one.event == "STATE"]
        await self._read(of_states)
        timed = [one for one in found if one.event != "STATE"]
        if timed != self._timed or self._is_time():
            self._timed = timed
            await self._watch()
        await self._act()
        return bool(of_states)

    def _hear(self, event: Event) -> None:
        """What is new may have to be dealt with at a time before the one that is waited for."""
        self._alarm.hear()
        if not isinstance(event, StateChange):
            return
        for one in self._timed:
            if one.event == "LATE" and event.state.name in WAITING:
                self._alarm.earlier((event.state.start_time or event.state.timestamp) + (one.seconds or 0) * _SECOND)
            elif one.event == "RUNNING" and event.state.name in EXECUTING:
                self._alarm.earlier(event.state.timestamp + (one.seconds or 0) * _SECOND)

    async def _work(self) -> None:
        await self._session.database.write(self._forget)
        while True:
            await self._alarm.wait(SOON if await self.look() else BY_AND_BY)

    async def _forget(self, tx: Transaction) -> None:
        await automations.forget(tx, to_micros(self._session.clock.now() - _KEPT))

    async def _hear_changes(self) -> None:
        changed = self._session.client.automations.has_changed
        while True:
            await changed.wait()
            changed.clear()
            self._alarm.ring()

    def _is_time(self) -> bool:
        return self._alarm.moment is not None and self._alarm.moment <= self._session.clock.micros()

    async def _read(self, found: list[Automation]) -> None:
        """Note what is to be done about the states that are new."""
        database, now = self._session.database, self._session.clock.micros()
        while found:
            kept = await history.place(database, _READER)
            self._read_up_to = max(self._read_up_to, kept, min(one.since for one in found))
            entered = await history.after(database, self._read_up_to)
            firings: list[tuple[str, str, str, int | None]] = [
                (new_id(), one.id, what.flow_run_id, what.seq)
                for what in entered
                for one in found
                if what.seq > one.since
                and one.flow_group_id in (None, what.flow_group_id)
                and is_among(what.state, one.states)
            ]
            if firings:
                await database.write(functools.partial(_fire_and_move, firings=firings, seq=entered[-1].seq, now=now))
            if entered:
                self._read_up_to = entered[-1].seq
            if len(entered) < history.AT_ONCE:
                return

    async def _watch(self) -> None:
        """Note what is to be done because of the time that has passed, and when there is more of that."""
        self._alarm.moment = None  # what is heard of from here on counts, too
        for one in self._timed:
            while found := await automations.candidates(self._session.database, one):
                now = self._session.clock.micros()
                due: list[tuple[str, str, str, int | None]] = [
                    (new_id(), one.id, run_id, None) for run_id, moment in found if moment <= now
                ]
                if due:
                    await self._session.database.write(functools.partial(automations.fire, firings=due, now=now))
                if len(due) < len(found):
                    self._alarm.earlier(found[len(due)][1])
                    break

    async def _act(self) -> None:
        while found := await automations.pending(self._session.database):
            for firing in found:
                status, message = await self._outcome(firing)
                said = {"status": status, "message": message, "now": self._session.clock.micros()}
                end = functools.partial(automations.end_firing, firing_id=firing.id, **said)  # type: ignore[arg-type]
                await self._session.database.write(end)

    async def _outcome(self, firing: Firing) -> tuple[str, str]:
        what = f"automation {firing.name!r}, flow run {firing.flow_run_id}"
        try:
            message = await self._do(firing)
        except StoreError:
            raise  # the service begins anew, and does it then
        except PrefectliteError as error:
            _logger.warning("%s: %s: %s", what, firing.action, error)
            return "Failed", str(error)
        except Exception as error:
            _logger.exception("%s: %s failed", what, firing.action)
            return "Failed", f"{type(error).__name__}: the log of the server has more"
        _logger.info("%s: %s", what, message)
        return "Done", message

    async def _do(self, firing: Firing) -> str:
        client = self._session.client
        if firing.action == "CANCEL":
            return f"The run is {await client.cancel_flow_run(firing.flow_run_id)}"
        if firing.action == "PAUSE_SCHEDULE":
            paused = await automations.scheduled_flows(self._session.database, firing.flow_group_id)
            for flow_id in paused:
                await client.flows.set_schedule_active(flow_id, is_active=False)
            return "The schedule is paused" if paused else "No schedule was active"
        if firing.action == "NOTIFY":
            return await self._notify(firing)
        return await self._run_flow(firing)

    async def _notify(self, firing: Firing) -> str:
        hook_id = firing.cloud_hook_id
        if hook_id is None:
            return "There is no hook any more"
        known = delivery_id(hook_id, f"{firing.automation_id}/{firing.flow_run_id}")
        delivery = Delivery(known, hook_id, firing.flow_run_id, firing.seq, firing.automation_id, 0)
        await self._session.client.hooks.send(delivery)
        return f"Delivery {known}"

    async def _run_flow(self, firing: Firing) -> str:
        depth = firing.context.get(DEPTH, 0)
        if not isinstance(depth, int) or depth >= DEEPEST:
            raise BadRequest(f"{DEEPEST} runs have followed from each other already: this one would make a loop of it")
        if firing.target_flow_group_id is None:
            raise NotFound("The flow is not there any more")
        run_id = await self._session.client.create_flow_run(
            flow_id=await automations.flow_to_run(self._session.database, firing.target_flow_group_id),
            parameters=firing.parameters,
            context={DEPTH: depth + 1, "automation": {"name": firing.name, "flow_run_id": firing.flow_run_id}},
            idempotency_key=f"automation:{firing.id}",
        )
        return f"Flow run {run_id}"


async def _fire_and_move(tx: Transaction, firings: list[tuple[str, str, str, int | None]], seq: int, now: int) -> None:
    await automations.fire(tx, firings, now)
    await history.move_place(tx, _READER, seq)
