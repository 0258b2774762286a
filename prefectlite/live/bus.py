"""The live bus: publishing never waits, and a slow subscriber loses the oldest news, not memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable
from types import TracebackType

from prefectlite.live.events import ALL_FLOW_RUNS, SLOTS, Event, LogLine, SlotNews, Topic

CAPACITY = 20_000


class Subscription:
    """An asynchronous iterator over the events of one topic, from the moment it was made; a context manager."""

    def __init__(self, bus: Bus, topic: Topic, capacity: int) -> None:
        self._bus, self._topic = bus, topic
        self._events: deque[Event] = deque()
        self._capacity = capacity
        self._arrived = asyncio.Event()
        self._dropped = 0
        self._closed = False

    def take_lagged(self) -> bool:
        """Whether events were dropped since the last call, because this subscriber was too slow."""
        dropped, self._dropped = self._dropped, 0
        return dropped > 0

    def close(self) -> None:
        """No more events; who waits for one stops iterating."""
        self._events.clear()
        self.finish()

    def finish(self) -> None:
        """Take no more events; who iterates gets those that are here, then stops."""
        self._closed = True
        self._arrived.set()
        self._bus._remove(self._topic, self)

    def _offer(self, event: Event) -> None:
        if len(self._events) >= self._capacity:
            self._events.popleft()
            self._dropped += 1
        self._events.append(event)
        self._arrived.set()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()


class Bus:
    """Who listens to what. Lives on one event loop."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._subscriptions: defaultdict[Topic, list[Subscription]] = defaultdict(list)

    def subscribe(self, topic: Topic) -> Subscription:
        """A subscription to `topic`, open until closed; it holds at most the bus's capacity of events."""
        subscription = Subscription(self, topic, self._capacity)
        self._subscriptions[topic].append(subscription)
        return subscription

    def publish(self, events: Iterable[Event]) -> None:
        """Hand every event to its subscribers."""
        if not self._subscriptions:
            return
        for event in events:
            for topic in _topics(event):
                for subscription in self._subscriptions.get(topic, ()):
                    subscription._offer(event)

    def has_listeners(self, topic: Topic) -> bool:
        """Whether anybody listens to `topic`, so that events for nobody need not be made."""
        return topic in self._subscriptions

    def close(self) -> None:
        """End every subscription."""
        for subscriptions in list(self._subscriptions.values()):
            for subscription in list(subscriptions):
                subscription.close()

    def _remove(self, topic: Topic, subscription: Subscription) -> None:
        remaining = [s for s in self._subscriptions.get(topic, ()) if s is not subscription]
        if remaining:
            self._subscriptions[topic] = remaining
        else:
            self._subscriptions.pop(topic, None)


def _topics(event: Event) -> tuple[Topic, ...]:
    if isinstance(event, SlotNews):
        return (SLOTS,)
    if isinstance(event, LogLine):
        return (("logs", event.row.flow_run_id),)
    if event.kind == "flow_run":
        return (("flow_run", event.flow_run_id), ALL_FLOW_RUNS)
    return (("flow_run", event.flow_run_id),)
