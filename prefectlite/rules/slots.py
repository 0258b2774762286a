"""Slots: who may begin where concurrency limits say how many run at once, or begin within a time.

A slot is never kept in a counter: whoever is Running in the record has one of every limit on its names (the tags of a task,
the labels of a flow run), and what leaves that state has given it back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from prefectlite.records import SENT, StateRecord

#: States of flow runs that have a slot of their labels, and whose task runs have those of their tags.
HOLDING_FLOW_RUNS = frozenset({"Submitted", "Running", "Cancelling"})
HOLDING_TASK_RUNS = frozenset({"Running"})
_NAMES: frozenset[str] = frozenset()


class Limit(msgspec.Struct, frozen=True):
    """So many slots of what is called `name`: at once, or, where `seconds` is not 0, beginnings within so many seconds."""

    id: str
    name: str
    slots: int
    seconds: int = 0

    def since(self, now: int) -> int:
        """What began at this moment, or earlier, is not counted any more."""
        return now - self.seconds * 1_000_000


class Shortage(msgspec.Struct, frozen=True):
    """Why something may not begin now, and from when on it may be worth asking again, as far as that is known."""

    reason: str
    until: int | None = None


class Slots:
    """The limits of one kind (`kind` is "tag" or "label") and what is used of them; it moves on as a transaction decides."""

    def __init__(
        self,
        kind: str,
        limits: Iterable[Limit],
        holders: Mapping[str, frozenset[str]],
        waiting: Mapping[str, frozenset[str]],
        starts: Mapping[str, Sequence[int]],
    ) -> None:
        """`holders` and `waiting` (in their order) are names by run; `starts` are by limit, the newest first."""
        self._kind = kind
        self._limits: dict[str, list[Limit]] = {}
        for limit in limits:
            self._limits.setdefault(limit.name, []).append(limit)
        self._holders, self._waiting = dict(holders), dict(waiting)
        self._starts = {limit_id: list(began) for limit_id, began in starts.items()}
        self._used = Counter(name for names in holders.values() for name in names)

    def shortage(self, run_id: str, names: frozenset[str]) -> Shortage | None:
        """What keeps a run with these names from beginning now; None if it may."""
        own = self._holders.get(run_id, _NAMES)
        free = {limit.id: self._free(limit, own) for limit in self._on(names)}
        if short := next((limit for limit in self._on(names) if free[limit.id] <= 0), None):
            return self._told(short)
        # Who waits for longer goes first; but nobody waits for one who could not go now either.
        for waiter, its_names in self._waiting.items():
            if waiter == run_id:
                break
            its = list(self._on(its_names))
            if all(free.setdefault(limit.id, self._free(limit, own)) > 0 for limit in its):
                for limit in its:
                    free[limit.id] -= 1
        if short := next((limit for limit in self._on(names) if free[limit.id] <= 0), None):
            return self._told(short)
        return None

    def enter(self, run_id: str, names: frozenset[str], now: int, *, holds: bool, waits: bool) -> list[Limit]:
        """A run is in another state, in which it holds slots, or waits for them. The limits that count its beginning."""
        if not holds and run_id in self._holders:
            self._used.subtract(self._holders.pop(run_id))
        if waits:
            self._waiting.setdefault(run_id, names)
        else:
            self._waiting.pop(run_id, None)
        if not holds or run_id in self._holders:
            return []
        self._holders[run_id] = names
        self._used.update(names)
        counting = [limit for limit in self._on(names) if limit.seconds]
        for limit in counting:
            self._starts.setdefault(limit.id, []).insert(0, now)
        return counting

    def _on(self, names: Iterable[str]) -> Iterator[Limit]:
        for name in sorted(names):
            yield from self._limits.get(name, ())

    def _free(self, limit: Limit, own: frozenset[str]) -> int:
        if not limit.seconds:
            return limit.slots - self._used[limit.name] + (limit.name in own)
        return limit.slots - len(self._starts.get(limit.id, ())) + (limit.name in own)  # it began before

    def _told(self, limit: Limit) -> Shortage:
        how = f"in {limit.seconds} s" if limit.seconds else "at once"
        reason = f"Waits for a slot: the concurrency limit of {self._kind} {limit.name!r}, {limit.slots} {how}, is reached"
        began = self._starts.get(limit.id, ())
        if not limit.seconds or not limit.slots or len(began) < limit.slots:
            return Shortage(reason)
        return Shortage(reason, began[limit.slots - 1] + limit.seconds * 1_000_000 + 1)


def queued(proposed: StateRecord, reason: str, start_time: int | None = None) -> StateRecord:
    """The state in which a run waits for a slot that was to be in the state `proposed`: it remembers what that did."""
    details = proposed.details
    if details is not None and details.startswith(f'{{"{SENT}"'):
        details = None  # a client's own words for the other state
    return StateRecord(proposed.id, "Queued", proposed.timestamp, reason, start_time, details)
