"""Runs of one flow that overlap: what is under way, or was due before, when a schedule's next run is."""

from __future__ import annotations

from typing import Any

import msgspec

from prefectlite.repository.database import Database
from prefectlite.repository.runs import UNFINISHED, WAITING

_DUE = "coalesce(r.state_start_time, r.scheduled_start_time)"
_RUN = f"""
SELECT f.flow_group_id, coalesce(g.schedule, f.schedule), {_DUE}, r.version
FROM flow_run r JOIN flow f ON f.id = r.flow_id JOIN flow_group g ON g.id = f.flow_group_id WHERE r.id = $1
"""
# Of runs that schedules made, those that are due come one after another, by when they are due and by id: whoever looks
# finds the same one first, so that no two begin because neither saw the other. One that has begun and is nobody's now, its
# agent being gone, goes on as soon as another takes it: it is under way, too.
_AHEAD = f"""
SELECT r.id, r.name, r.state, r.auto_scheduled, CASE WHEN r.lease_epoch > 0 THEN 1 ELSE 0 END
FROM flow_run r JOIN flow f ON f.id = r.flow_id
WHERE f.flow_group_id = $2 AND r.id <> $1 AND r.state IN ({UNFINISHED}) AND (
    (r.lease_epoch > 0 AND (r.owner IS NOT NULL OR (r.state IN ({WAITING}) AND {_DUE} <= $4)))
    OR (r.owner IS NULL AND r.lease_epoch = 0 AND r.auto_scheduled = 1 AND r.state IN ({WAITING})
        AND ({_DUE} < $3 OR ({_DUE} = $3 AND r.id < $1)))
)
ORDER BY {_DUE}, r.id
"""


class DueRun(msgspec.Struct, frozen=True):
    """A run that a schedule made: its place in the order of those of its flow, and what the schedule says of overlap."""

    id: str
    group_id: str
    schedule: dict[str, Any]
    due: int
    version: int

    @property
    def overlap(self) -> str:
        """allow, skip, queue or cancel."""
        return str(self.schedule.get("overlap") or "allow")


class RunAhead(msgspec.Struct, frozen=True):
    """A run that is under way (it has begun and not ended), or that is due before."""

    id: str
    name: str
    state: str
    by_schedule: bool
    has_begun: bool


async def due_run(database: Database, run_id: str) -> DueRun | None:
    """The run; None if it is gone, or its flow has no schedule any more."""
    rows = await database.read(_RUN, (run_id,))
    if not rows or rows[0][1] is None:
        return None
    group_id, schedule, due, version = rows[0]
    return DueRun(run_id, group_id, msgspec.json.decode(schedule), due, version)


async def runs_ahead(database: Database, run: DueRun, now: int) -> list[RunAhead]:
    """The runs of any version of the same flow that are ahead of this one; the first of them first."""
    rows = await database.read(_AHEAD, (run.id, run.group_id, run.due, now))
    return [RunAhead(run_id, name, state, bool(auto), bool(begun)) for run_id, name, state, auto, begun in rows]
