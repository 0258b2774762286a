"""The live bus: publishing never waits, and a slow subscriber loses the oldest news, not memory.

Who publishes pays for a topic, not for each of its subscribers: an event is kept once, and each of them has a place in the
row of events, which it moves on itself.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from types import TracebackType

from prefectlite.live.events import (
    ALL_FLOW_RUNS,
    ALL_RUNS,
    SCHEDULES,
    SLOTS,
    Event,
    FlowRunsDeleted,
    LogLine,
    ScheduleNews,
    SlotNews,
    Topic,
)

CAPACITY = 20_000
#: An event more or less is not worth moving the others for.
_SLACK = 256


class _Stream:
    """The events of one topic that some subscriber has not read yet. Events are numbered from 0 on."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.first = 0  # the number of the first of `events`
        self.subscriptions: set[Subscription] = set()
        self.waiting: dict[Subscription, asyncio.Future[None]] = {}
        self._room = _SLACK

    @property
    def end(self) -> int:
        """The number that the next event will have."""
        return self.first + len(self.events)

    def add(self, event: Event, capacity: int) -> None:
        self.events.append(event)
        if len(self.events) > self._room:
            self._forget(capacity)
        if self.waiting:
            waiting, self.waiting = self.waiting, {}
            for future in waiting.values():
                if not future.done():
                    future.set_result(None)

    def _forget(self, capacity: int) -> None:
        """Let go of what all have read, and of what is too much. Seldom: it costs time for each subscriber."""
        unread = min(subscription._next for subscription in self.subscriptions)
        keep = max(unread, self.end - capacity)
        if keep > self.first:
            del self.events[: keep - self.first]
            self.first = keep
        self._room = len(self.events) + max(_SLACK, len(self.events) // 8)


class Subscription:
    """An asynchronous iterator over the events of one topic, from the moment it was made; a context manager.

    One task at a time reads it.
    """

    def __init__(self, bus: Bus, topic: Topic, stream: _Stream) -> None:
        self._bus, self._topic, self._stream = bus, topic, stream
        self._next = stream.end
        self._lagged = False
        self._rest: list[Event] | None = None  # once closed: what is still to be read

    def take_lagged(self) -> bool:
        """Whether events were dropped since the last call, because this subscriber was too slow."""
        self._drop()
        lagged, self._lagged = self._lagged, False
        return lagged

    @property
    def unread(self) -> int:
        """How many events are here."""
        if self._rest is not None:
            return len(self._rest)
        self._drop()
        return self._stream.end - self._next

    async def arrival(self) -> bool:
        """Return when there are events to be read; False when no more will come."""
        while not self.unread and self._rest is None:
            future = self._stream.waiting[self] = asyncio.get_running_loop().create_future()
            await future
        return self.unread > 0

    def latest(self, most: int) -> list[Event]:
        """The last `most` events that are here; those before them are dropped."""
        if (surplus := self.unread - most) > 0:
            self._lagged = True
            if self._rest is None:
                self._next += surplus
            else:
                del self._rest[:surplus]
        return self._take(most)

    async def batch(self, most: int = 1_000) -> list[Event]:
        """The events that are here, `most` of them at the most; at least one, unless no more will come."""
        await self.arrival()
        return self._take(most)

    def close(self) -> None:
        """No more events; who waits for one stops iterating."""
        self.finish()
        self._rest = []

    def finish(self) -> None:
        """Take no more events; who iterates gets those that are here, then stops."""
        if self._rest is None:
            self._drop()
            self._rest = self._stream.events[self._next - self._stream.first :]
            self._bus._remove(self._topic, self)
            if (waiting := self._stream.waiting.pop(self, None)) and not waiting.done():
                waiting.set_result(None)

    def _drop(self) -> None:
        """Pass over events that are more than the bus's capacity."""
        oldest = self._stream.end - self._bus._capacity
        if self._rest is None and self._next < oldest:
            self._next, self._lagged = oldest, True

    def _take(self, most: int) -> list[Event]:
        if self._rest is not None:
            taken, self._rest = self._rest[:most], self._rest[most:]
            return taken
        self._drop()
        begin = self._next - self._stream.first
        taken = self._stream.events[begin : begin + most]
        self._next += len(taken)
        return taken

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        if events := await self.batch(1):
            return events[0]
        raise StopAsyncIteration


class Bus:
    """Who listens to what. Lives on one event loop."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._streams: defaultdict[Topic, _Stream] = defaultdict(_Stream)

    def subscribe(self, topic: Topic) -> Subscription:
        """A subscription to `topic`, open until closed; it holds at most the bus's capacity of events."""
        stream = self._streams[topic]
        subscription = Subscription(self, topic, stream)
        stream.subscriptions.add(subscription)
        return subscription

    def publish(self, events: Iterable[Event]) -> None:
        """Hand every event to its subscribers."""
        if not self._streams:
            return
        for event in events:
            for topic in _topics(event):
                if stream := self._streams.get(topic):
                    stream.add(event, self._capacity)

    def has_listeners(self, topic: Topic) -> bool:
        """Whether anybody listens to `topic`, so that events for nobody need not be made."""
        return topic in self._streams

    def listeners(self, topic: Topic) -> int:
        """How many listen to `topic`."""
        return len(self._streams[topic].subscriptions) if topic in self._streams else 0

    def close(self) -> None:
        """End every subscription."""
        for stream in list(self._streams.values()):
            for subscription in list(stream.subscriptions):
                subscription.close()

    def _remove(self, topic: Topic, subscription: Subscription) -> None:
        stream = subscription._stream
        stream.subscriptions.discard(subscription)
        if not stream.subscriptions and self._streams.get(topic) is stream:
            del self._streams[topic]


def _topics(event: Event) -> tuple[Topic, ...]:
    if isinstance(event, SlotNews):
        return (SLOTS,)
    if isinstance(event, FlowRunsDeleted):
        return (ALL_FLOW_RUNS,)
    if isinstance(event, ScheduleNews):
        return (SCHEDULES,)
    if isinstance(event, LogLine):
        return (("logs", event.row.flow_run_id),)
    if event.kind == "flow_run":
        return (("flow_run", event.flow_run_id), ALL_FLOW_RUNS, ALL_RUNS)
    return (("flow_run", event.flow_run_id), ALL_RUNS)
