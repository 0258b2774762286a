"""How many flow runs are in which state, again and again: for dashboards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import msgspec

from prefectlite.api.wording import Batch
from prefectlite.live.bus import CAPACITY, Subscription
from prefectlite.live.events import ALL_FLOW_RUNS, Event, FlowRunsDeleted
from prefectlite.repository.sequence import last_taken

if TYPE_CHECKING:
    from prefectlite.session import Session

#: The least seconds between two countings; longer ones are followed by a longer pause.
INTERVAL = 0.3
#: So many times as long as a counting takes, there is no other.
PAUSE = 20
#: After so many seconds without news it is counted once more: news may get lost between processes.
LOOK_AGAIN = 15.0
_PLACES = {"project": "project_id", "flow_group": "flow_group_id", "flow": "id"}


class Question(msgspec.Struct, frozen=True):
    """What is counted: all flow runs, or those of one project, flow group or flow; in sum, or for each of these."""

    project_id: str | None = None
    flow_group_id: str | None = None
    flow_id: str | None = None
    by: str | None = None

    def sql(self) -> tuple[str, tuple[str, ...]]:
        """A statement whose rows are (id, state, number); the row without a state has the sequence number."""
        given = [
            (column, value)
            for column, value in (
                ("f.project_id", self.project_id), ("f.flow_group_id", self.flow_group_id), ("f.id", self.flow_id)
            )
            if value is not None
        ]  # fmt: skip
        place = f"f.{_PLACES[self.by]}" if self.by else "CAST(NULL AS TEXT)"
        join = " JOIN flow AS f ON f.id = r.flow_id" if given or self.by else ""
        where = " AND ".join(f"{column} = ${number}" for number, (column, _) in enumerate(given, 1))
        counts = f"SELECT {place}, r.state, count(*) FROM flow_run AS r{join}{' WHERE ' * bool(where)}{where} GROUP BY 1, 2"
        last = "SELECT CAST(NULL AS TEXT), CAST(NULL AS TEXT), value FROM counter WHERE name = 'seq'"
        return f"{counts} UNION ALL {last}", tuple(value for _, value in given)


class Tally:
    """The latest answer to one question; all who ask it share it."""

    def __init__(self, session: Session, question: Question) -> None:
        self._session, self._question = session, question
        self._lock = asyncio.Lock()
        self._seq = -1
        self._counts: list[dict[str, Any]] = []
        self._counted_at = self._next = 0.0

    async def after(self, seq: int, since: float | None = None) -> tuple[int, list[dict[str, Any]]]:
        """(sequence number, counts) of a moment when everything up to `seq` was in the record.

        With `since`, a moment of the loop's time, it is one after that.
        """
        loop = asyncio.get_running_loop()
        async with self._lock:
            if self._seq < seq or (since is not None and self._counted_at < since):
                if (pause := self._next - loop.time()) > 0:
                    await asyncio.sleep(pause)
                self._counted_at = loop.time()
                await self._count()
                self._next = loop.time() + max(INTERVAL, (loop.time() - self._counted_at) * PAUSE)
            return self._seq, self._counts

    async def _count(self) -> None:
        sql, given = self._question.sql()
        rows = await self._session.database.read(sql, given)
        by, counts = self._question.by, []
        for place, state, number in sorted(rows, key=lambda row: (row[0] or "", row[1] or "")):
            if state is None:
                self._seq = number
            else:
                ids = {f"{name}_id": place if name == by else None for name in _PLACES}
                counts.append({**ids, "state": state, "count": number})
        self._counts = counts


class RunCounts:
    """Source of the field `run_counts`, for one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tallies: dict[Question, tuple[Tally, int]] = {}

    async def follow(self, question: Question, after: int | None = None) -> AsyncGenerator[Batch, None]:
        """The counts now, and when they have changed; with `after`, not before something came after it."""
        tally, users = self._tallies.get(question) or (Tally(self._session, question), 0)
        self._tallies[question] = (tally, users + 1)
        told: list[dict[str, Any]] | None = None
        try:
            with self._session.bus.subscribe(ALL_FLOW_RUNS) as subscription:
                seq, counts = await tally.after(await last_taken(self._session.database))
                first, is_news = counts, after is None or seq > after
                while True:
                    if counts != told and (is_news or counts != first):
                        told = counts
                        yield Batch([(seq, (seq, counts))], tuple)
                    events = await _news(subscription)
                    if events is not None and not events:
                        return
                    was_deleted = events is not None and any(isinstance(event, FlowRunsDeleted) for event in events)
                    seq, counts = await tally.after(*_needed(seq, events, was_deleted=was_deleted))
                    is_news = is_news or was_deleted or (after is not None and seq > after)
        finally:
            tally, users = self._tallies.pop(question)
            if users > 1:
                self._tallies[question] = (tally, users - 1)


async def _news(subscription: Subscription) -> list[Event] | None:
    """What happened; None if nothing did for a while, nothing when no more will."""
    try:
        async with asyncio.timeout(LOOK_AGAIN):
            return await subscription.batch(CAPACITY)
    except TimeoutError:
        return None


def _needed(seq: int, events: list[Event] | None, *, was_deleted: bool) -> tuple[int, float | None]:
    """What `Tally.after` is to be asked where `seq` was told before."""
    now = asyncio.get_running_loop().time()
    if events is None:
        return seq, now - LOOK_AGAIN / 2
    return max(seq, *(event.seq for event in events)), now if was_deleted else None
