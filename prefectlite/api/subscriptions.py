"""The Subscription type: what can be listened to. `news` is where it comes from."""

from __future__ import annotations

import graphene

from prefectlite.api.scalars import bigint, timestamptz, uuid
from prefectlite.api.types import listed, object_type

#: The type of the news of each field.
NEWS_TYPES = {"state_changes": "state_change", "logs": "log_line", "run_counts": "run_counts"}
#: The types of those of its fields that hold objects.
INNER_TYPES = {"counts": "run_count"}

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
_run_count = object_type(
    "run_count",
    {
        "project_id": uuid(),
        "flow_group_id": uuid(),
        "flow_id": uuid(),
        "state": graphene.String(required=True),
        "count": graphene.Int(required=True),
    },
    "How many flow runs are in a state; of what they are counted by, the id is there.",
)
_run_counts = object_type(
    "run_counts",
    {
        "seq": bigint(required=True, description="What has a larger one came later: `state_changes(after: …)` goes on."),
        "counts": graphene.Field(graphene.NonNull(listed(_run_count)), description="States in which there are some."),
        "lagged": graphene.Boolean(required=True, description="Never: each piece of news is the whole truth."),
    },
    "Flow runs, counted at one moment.",
)
_counted_by = graphene.Enum("run_counts_by", [(name, name) for name in ("project", "flow_group", "flow")])
Subscription = object_type(
    "Subscription",
    {
        "state_changes": graphene.Field(
            graphene.NonNull(_state_change),
            flow_run_id=uuid(),
            flow_id=uuid(),
            flow_group_id=uuid(),
            task_runs=graphene.Boolean(description="Whether those of task runs, too; if not said, of a single flow run's."),
            after=bigint(),
            description="States of all flow runs, of one, of a flow's or a flow group's; `after` replays the record first.",
        ),
        "logs": graphene.Field(
            graphene.NonNull(_log_line),
            flow_run_id=uuid(required=True),
            after=bigint(),
            description="The lines of a run's log; `after` replays the record first.",
        ),
        "run_counts": graphene.Field(
            graphene.NonNull(_run_counts),
            project_id=uuid(),
            flow_group_id=uuid(),
            flow_id=uuid(),
            by=graphene.Argument(_counted_by, description="Counts for each of these, instead of sums."),
            after=bigint(),
            description="Flow runs by state: now, and a few times a second at the most while they change.",
        ),
    },
    "What can be listened to.",
)
