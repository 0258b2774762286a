"""What the bus carries."""

from __future__ import annotations

import msgspec

from prefectlite.records import LogRow, StateRecord


class StateChange(msgspec.Struct, frozen=True, gc=False):
    """A run entered a state; `task_run_id`, `task_id` and `map_index` are None for a flow run."""

    seq: int
    kind: str  # "flow_run" or "task_run"
    flow_run_id: str
    task_run_id: str | None
    task_id: str | None
    map_index: int | None
    version: int
    state: StateRecord


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """A line was written to a run's log."""

    seq: int
    row: LogRow


class SlotNews(msgspec.Struct, frozen=True, gc=False):
    """What waits for a slot of a concurrency limit may have got one; `limits`: because limits were changed."""

    limits: bool = False
    seq: int = 0  # it has no place in the record


class FlowRunsDeleted(msgspec.Struct, frozen=True, gc=False):
    """Flow runs are there no more."""

    seq: int = 0  # it has no place in the record


class ScheduleNews(msgspec.Struct, frozen=True, gc=False):
    """Another process has changed the schedules of these flows; of whatever flows, where none is named."""

    flow_ids: list[str] = []
    seq: int = 0  # it has no place in the record


Event = StateChange | LogLine | SlotNews | FlowRunsDeleted | ScheduleNews
#: ("flow_runs",): states of all flow runs, and that some were deleted · ("runs",): states of all flow runs and task runs ·
#: ("flow_run", id): of one flow run and of its task runs · ("logs", id): its log.
Topic = tuple[str, ...]
ALL_FLOW_RUNS: Topic = ("flow_runs",)
ALL_RUNS: Topic = ("runs",)
#: What happens to concurrency limits, and to what is used of them.
SLOTS: Topic = ("slots",)
#: Schedules that other processes change.
SCHEDULES: Topic = ("schedules",)
