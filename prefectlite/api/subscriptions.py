"""The Subscription type, and where its news comes from: the record for what was, the bus for what comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

import graphene

from prefectlite.api.scalars import bigint, timestamptz, uuid
from prefectlite.api.types import object_type
from prefectlite.clock import from_micros
from prefectlite.live.events import ALL_FLOW_RUNS, LogLine, StateChange, Topic

if TYPE_CHECKING:
    from prefectlite.repository.database import Row
    from prefectlite.session import Session

News = dict[str, Any]
PAGE = 2_000

_CHANGE = (
    "seq", "kind", "flow_run_id", "task_run_id", "task_id", "map_index", "version", "state", "message", "timestamp",
)  # fmt: skip
_LINE = ("seq", "id", "flow_run_id", "task_run_id", "timestamp", "level", "name", "message")
_FLOW_RUN_CHANGES = """
SELECT seq, 'flow_run', flow_run_id, NULL, NULL, CAST(NULL AS BIGINT), version, state, message, timestamp
FROM flow_run_state
"""
_RUN_CHANGES = f"""
SELECT * FROM ({_FLOW_RUN_CHANGES} WHERE flow_run_id = $1 AND seq > $2 ORDER BY seq LIMIT {PAGE}) AS own
UNION ALL
SELECT * FROM (
    SELECT s.seq, 'task_run', r.flow_run_id, r.id, r.task_id, r.map_index, s.version, s.state, s.message, s.timestamp
    FROM task_run AS r JOIN task_run_state AS s ON s.task_run_id = r.id
    WHERE r.flow_run_id = $1 AND s.seq > $2 ORDER BY s.seq LIMIT {PAGE}
) AS tasks
ORDER BY 1 LIMIT {PAGE}
"""
_ALL_CHANGES = f"{_FLOW_RUN_CHANGES} WHERE seq > $1 ORDER BY seq LIMIT {PAGE}"
_LINES = f"SELECT {', '.join(_LINE)} FROM log WHERE flow_run_id = $1 AND seq > $2 ORDER BY seq LIMIT {PAGE}"


def state_changes(session: Session, flow_run_id: str | None = None, after: int | None = None) -> AsyncGenerator[News, None]:
    """Every state of one flow run and its task runs, or those of all flow runs; `after` replays the record first."""
    if flow_run_id is None:
        return _follow(session, ALL_FLOW_RUNS, (_ALL_CHANGES, ()), after, _CHANGE, _change)
    return _follow(session, ("flow_run", flow_run_id), (_RUN_CHANGES, (flow_run_id,)), after, _CHANGE, _change)


def logs(session: Session, flow_run_id: str, after: int | None = None) -> AsyncGenerator[News, None]:
    """The lines of one flow run's log; `after` replays the record first."""
    return _follow(session, ("logs", flow_run_id), (_LINES, (flow_run_id,)), after, _LINE, _line)


#: What feeds each field of Subscription.
SOURCES: dict[str, Callable[..., AsyncGenerator[News, None]]] = {"state_changes": state_changes, "logs": logs}


async def _follow(
    session: Session,
    topic: Topic,
    record: tuple[str, tuple[str, ...]],
    after: int | None,
    names: tuple[str, ...],
    row_of: Callable[[Any], Row],
) -> AsyncGenerator[News, None]:
    seen = -1 if after is None else after
    with session.bus.subscribe(topic) as subscription:  # before the record is read, so that nothing falls between
        behind = after is not None
        while behind:  # page by page, so that a long history is never in memory as a whole
            sql, given = record
            rows = await session.database.read(sql, (*given, seen))
            for row in rows:
                seen = row[0]
                yield _news(names, row, lagged=False)
            behind = len(rows) == PAGE
        async for event in subscription:
            if event.seq > seen:
                yield _news(names, row_of(event), lagged=subscription.take_lagged())


def _change(event: StateChange) -> Row:
    run = (event.flow_run_id, event.task_run_id, event.task_id, event.map_index)
    return (event.seq, event.kind, *run, event.version, event.state.name, event.state.message, event.state.timestamp)


def _line(event: LogLine) -> Row:
    row = event.row
    return (event.seq, row.id, row.flow_run_id, row.task_run_id, row.timestamp, row.level, row.name, row.message)


def _news(names: tuple[str, ...], row: Row, *, lagged: bool) -> News:
    news = dict(zip(names, row, strict=True))
    news["timestamp"] = from_micros(news["timestamp"]).isoformat(timespec="microseconds")
    news["lagged"] = lagged
    return news


_state_change = object_type(
    "state_change",
    {
        "seq": bigint(required=True),
        "kind": graphene.String(required=True, description="flow_run or task_run"),
        "flow_run_id": uuid(required=True),
        "task_run_id": uuid(),
        "task_id": uuid(),
        "map_index": graphene.Int(),
        "version": graphene.Int(required=True),
        "state": graphene.String(required=True),
        "message": graphene.String(),
        "timestamp": timestamptz(required=True),
        "lagged": graphene.Boolean(required=True, description="Changes before this one were dropped: read again."),
    },
    "A run entered a state.",
)
_log_line = object_type(
    "log_line",
    {
        "seq": bigint(required=True),
        "id": uuid(required=True),
        "flow_run_id": uuid(required=True),
        "task_run_id": uuid(),
        "timestamp": timestamptz(required=True),
        "level": graphene.String(required=True),
        "name": graphene.String(required=True),
        "message": graphene.String(required=True),
        "lagged": graphene.Boolean(required=True, description="Lines before this one were dropped: read again."),
    },
    "A line was written to a run's log.",
)
Subscription = object_type(
    "Subscription",
    {
        "state_changes": graphene.Field(
            graphene.NonNull(_state_change),
            flow_run_id=uuid(),
            after=bigint(),
            description="States of one run and its task runs, or of all flow runs; `after` replays the record first.",
        ),
        "logs": graphene.Field(
            graphene.NonNull(_log_line),
            flow_run_id=uuid(required=True),
            after=bigint(),
            description="The lines of a run's log; `after` replays the record first.",
        ),
    },
    "What can be listened to.",
)
