"""The notifier: tells cloud hooks of the states that runs enter, each at least once."""

from __future__ import annotations

import asyncio
from collections import Counter

from prefectlite.client.hooks import is_among
from prefectlite.live.events import ALL_FLOW_RUNS
from prefectlite.notifications.courier import Courier
from prefectlite.repository import history, hooks
from prefectlite.repository.database import Transaction
from prefectlite.repository.history import Entered
from prefectlite.repository.hooks import Delivery, Hook
from prefectlite.services.alarm import BY_AND_BY, SOON, Alarm
from prefectlite.session import Session

#: Deliveries at once, and to one hook.
MOST, MOST_OF_ONE = 16, 4
_READER = "hooks"


class Notifier:
    """Reads on in the history whenever there is news, from a place that the record keeps, and delivers what is due.

    What is to be delivered is written down together with the place, so that a crash loses nothing.
    """

    def __init__(self, session: Session, courier: Courier | None = None) -> None:
        self._session = session
        self._courier = courier or Courier(session.settings)
        self._alarm = Alarm(session.clock)
        self._read_up_to = 0
        self._under_way: dict[str, str] = {}  # delivery -> hook

    async def run(self) -> None:
        """Deliver, until cancelled."""
        with self._session.bus.subscribe(ALL_FLOW_RUNS) as subscription:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work(group))
                group.create_task(self._hear_changes())
                async for _ in subscription:
                    self._alarm.hear()

    async def _work(self, group: asyncio.TaskGroup) -> None:
        self._under_way.clear()
        while True:
            has_hooks = await self.read()
            await self._begin_due(group)
            await self._alarm.wait(SOON if has_hooks else BY_AND_BY)

    async def _hear_changes(self) -> None:
        changed = self._session.client.hooks.has_changed
        while True:
            await changed.wait()
            changed.clear()
            self._alarm.ring()

    async def read(self) -> bool:
        """Have all that is new in the history delivered to the hooks that want it; whether there are any."""
        database = self._session.database
        while listening := await hooks.listening(database):
            kept = await history.place(database, _READER)
            # Before the first hook was there nobody wanted anything.
            self._read_up_to = max(self._read_up_to, kept, min(hook.since for hook in listening))
            found = await history.after(database, self._read_up_to)
            wanted = [(hook, entered) for entered in found for hook in listening if _wants(hook, entered)]
            if wanted:  # a place where nobody wanted anything need not be kept
                await self._keep(wanted, found[-1].seq)
            if found:
                self._read_up_to = found[-1].seq
            if len(found) < history.AT_ONCE:
                return True
        return False

    async def _keep(self, wanted: list[tuple[Hook, Entered]], seq: int) -> None:
        now = self._session.clock.micros()

        async def work(tx: Transaction) -> None:
            for hook, entered in wanted:
                delivery_id = hooks.delivery_id(hook.id, entered.seq)
                delivery = Delivery(delivery_id, hook.id, entered.flow_run_id, entered.seq, None, 0)
                await hooks.add_delivery(tx, delivery, now, now)
            await history.move_place(tx, _READER, seq)

        await self._session.database.write(work)

    async def _begin_due(self, group: asyncio.TaskGroup) -> None:
        now = self._session.clock.micros()
        busy = Counter(self._under_way.values())
        for delivery in await hooks.due_deliveries(self._session.database, now, 2 * MOST_OF_ONE):
            if len(self._under_way) >= MOST:
                break  # the next one to end lets this be looked at again
            if delivery.id not in self._under_way and busy[delivery.cloud_hook_id] < MOST_OF_ONE:
                busy[delivery.cloud_hook_id] += 1
                self._under_way[delivery.id] = delivery.cloud_hook_id
                group.create_task(self._deliver(delivery))
        self._alarm.moment = await hooks.next_attempt(self._session.database, now)

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await self._session.client.hooks.attempt(self._courier, delivery)
        finally:
            del self._under_way[delivery.id]
            self._alarm.ring()


def _wants(hook: Hook, entered: Entered) -> bool:
    return (
        entered.seq > hook.since
        and hook.flow_group_id in (None, entered.flow_group_id)
        and is_among(entered.state, hook.states)
    )
