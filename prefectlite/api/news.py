"""Where news comes from: the record for what was, the bus for what comes."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from prefectlite.api.run_counts import Question, RunCounts
from prefectlite.api.turns import Turns
from prefectlite.api.wording import Batch
from prefectlite.errors import BadRequest
from prefectlite.live.events import ALL_FLOW_RUNS, ALL_RUNS, Event, LogLine, StateChange, Topic

if TYPE_CHECKING:
    from prefectlite.client.remits import Remit
    from prefectlite.repository.database import Row
    from prefectlite.session import Session

Batches = AsyncGenerator[Batch, None]
PAGE = 2_000
#: Runs of which it is remembered which flow they are runs of.
_REMEMBERED = 50_000

_CHANGE = (
    "seq", "kind", "flow_run_id", "task_run_id", "task_id", "map_index", "version", "state", "message", "timestamp",
)  # fmt: skip
_LINE = ("seq", "id", "flow_run_id", "task_run_id", "timestamp", "level", "name", "message")
#: The values that the news of each field consists of; `lagged` comes to them.
NAMES = {"state_changes": _CHANGE, "logs": _LINE, "run_counts": ("seq", "counts")}
_OF_FLOW_RUN = (
    "s.seq, 'flow_run', s.flow_run_id, NULL, NULL, CAST(NULL AS BIGINT), s.version, s.state, s.message, s.timestamp"
)
_OF_TASK_RUN = "s.seq, 'task_run', t.flow_run_id, t.id, t.task_id, t.map_index, s.version, s.state, s.message, s.timestamp"
_TASK_RUNS = "task_run_state AS s JOIN task_run AS t ON t.id = s.task_run_id"
_LINES = f"SELECT {', '.join(_LINE)} FROM log WHERE flow_run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"
_FLOWS = "SELECT r.id, r.flow_id, f.flow_group_id FROM flow_run AS r JOIN flow AS f ON f.id = r.flow_id WHERE "


class Wanted(msgspec.Struct, frozen=True):
    """Whose states: of all runs, or those of one flow run, flow or flow group; and whether those of task runs, too."""

    flow_run_id: str | None = None
    flow_id: str | None = None
    flow_group_id: str | None = None
    task_runs: bool = False

    @property
    def topic(self) -> Topic:
        if self.flow_run_id is not None:
            return ("flow_run", self.flow_run_id)
        return ALL_RUNS if self.task_runs else ALL_FLOW_RUNS

    @property
    def is_of_flows(self) -> bool:
        """Whether it depends on a run's flow."""
        return self.flow_run_id is None and (self.flow_id is not None or self.flow_group_id is not None)

    def sql(self) -> tuple[str, tuple[str, ...]]:
        """A page of the record: $2 is the sequence number after which it begins, $3 the number of rows."""
        whose, joined = "TRUE", ""
        if self.flow_run_id is not None:
            whose = "{run} = $1"
        elif self.flow_id is not None:
            joined, whose = " JOIN flow_run AS r ON r.id = {run}", "r.flow_id = $1"
        elif self.flow_group_id is not None:
            joined = " JOIN flow_run AS r ON r.id = {run} JOIN flow AS f ON f.id = r.flow_id"
            whose = "f.flow_group_id = $1"
        else:
            whose = "$1 = ''"  # both databases want to know what each parameter is for
        parts = [
            (_OF_FLOW_RUN, f"flow_run_state AS s{joined.format(run='s.flow_run_id')}", whose.format(run="s.flow_run_id"))
        ]
        if self.task_runs:
            parts.append((_OF_TASK_RUN, _TASK_RUNS + joined.format(run="t.flow_run_id"), whose.format(run="t.flow_run_id")))
        pages = [
            f"SELECT * FROM (SELECT {columns} FROM {tables}"
            f" WHERE {which} AND s.seq > $2 ORDER BY s.seq LIMIT $3) AS p{number}"
            for number, (columns, tables, which) in enumerate(parts)
        ]
        given = self.flow_run_id or self.flow_id or self.flow_group_id or ""
        return " UNION ALL ".join(pages) + " ORDER BY 1 LIMIT $3", (given,)


class Sources:
    """What feeds each field of Subscription, for one session: batches of news, in order."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._counts = RunCounts(session)
        self._flows: dict[str, tuple[str, str]] = {}

    def open(self, field: str, turns: Turns, remit: Remit | None = None, **arguments: Any) -> Batches:
        """The source of a field, of `remit` alone if there is one. Raises BadRequest where arguments do not go together."""
        given = {name: value for name, value in arguments.items() if value is not None}
        after = given.pop("after", None)
        if field == "run_counts":
            if isinstance(by := given.get("by"), Enum):
                given["by"] = by.value
            return self._counts.follow(Question(**given), after)
        if field == "logs":
            record = (_LINES, (given["flow_run_id"],))
            return self._follow(("logs", given["flow_run_id"]), record, after, _line, turns)
        if len(given.keys() - {"task_runs"}) > 1:
            raise BadRequest("state_changes: say one of flow_run_id, flow_id and flow_group_id")
        wanted = Wanted(**{"task_runs": "flow_run_id" in given, **given})
        return self._follow(wanted.topic, wanted.sql(), after, _change, turns, wanted, remit)

    async def _follow(
        self,
        topic: Topic,
        record: tuple[str, tuple[str, ...]],
        after: int | None,
        row_of: Callable[[Any], Row],
        turns: Turns,
        wanted: Wanted | None = None,
        remit: Remit | None = None,
    ) -> Batches:
        if remit is not None and wanted is not None and wanted.flow_run_id is not None:
            await remit.check_runs([wanted.flow_run_id])
        seen = -1 if after is None else after
        with self._session.bus.subscribe(topic) as subscription:  # before the record is read: nothing falls between
            behind = after is not None
            while behind:  # page by page, so that a long history is never in memory as a whole
                sql, given = record
                rows = await self._session.database.read(sql, (*given, seen, PAGE))
                behind = len(rows) == PAGE
                if rows:
                    seen = rows[-1][0]
                    foreign = set() if remit is None else await remit.foreign({row[2] for row in rows})
                    if own := [(row[0], row) for row in rows if row[2] not in foreign]:
                        yield Batch(own, tuple)
            lagged = False
            while await subscription.arrival():
                most = await turns.mine()
                events = subscription.latest(most)
                lagged = subscription.take_lagged() or lagged
                await self._learn(events, wanted)
                begun = time.perf_counter()
                chosen = [event for event in self._chosen(events, wanted) if event.seq > seen]
                turns.took(time.perf_counter() - begun)
                foreign = set() if remit is None else await remit.foreign({_run_of(event) for event in chosen})
                pieces = [(event.seq, event) for event in chosen if _run_of(event) not in foreign]
                if pieces:
                    yield Batch(pieces, row_of, lagged)
                    lagged = False

    def _chosen(self, events: Sequence[Event], wanted: Wanted | None) -> Sequence[Event]:
        """Those that are about runs that are wanted."""
        if wanted is None:
            return events
        changes = [event for event in events if isinstance(event, StateChange)]
        if wanted.flow_run_id is not None and not wanted.task_runs:
            return [change for change in changes if change.kind == "flow_run"]
        if not wanted.is_of_flows:
            return changes
        place, whose = (0, wanted.flow_id) if wanted.flow_id is not None else (1, wanted.flow_group_id)
        return [change for change in changes if self._flows.get(change.flow_run_id, (None, None))[place] == whose]

    async def _learn(self, events: list[Event], wanted: Wanted | None) -> None:
        """Know which flows these are about, if that is asked for."""
        if wanted is None or not wanted.is_of_flows:
            return
        run_ids = {event.flow_run_id for event in events if isinstance(event, StateChange)} - self._flows.keys()
        if not run_ids:
            return
        if len(self._flows) > _REMEMBERED:
            self._flows.clear()
        database = self._session.database
        rows = await database.read(_FLOWS + database.dialect.among("r.id", "$1"), (database.dialect.listed(run_ids),))
        self._flows.update({run_id: (flow_id, group_id) for run_id, flow_id, group_id in rows})


def _run_of(event: Event) -> str:
    if isinstance(event, LogLine):
        return event.row.flow_run_id
    return event.flow_run_id if isinstance(event, StateChange) else ""


def _change(event: StateChange) -> Row:
    run = (event.flow_run_id, event.task_run_id, event.task_id, event.map_index)
    return (event.seq, event.kind, *run, event.version, event.state.name, event.state.message, event.state.timestamp)


def _line(event: LogLine) -> Row:
    row = event.row
    return (event.seq, row.id, row.flow_run_id, row.task_run_id, row.timestamp, row.level, row.name, row.message)
