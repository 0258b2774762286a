"""What user code sees as `prefectlite.context` in every task of a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from prefectlite.clock import Clock, from_micros
from prefectlite.engine.units import Unit
from prefectlite.language.graph import Graph
from prefectlite.language.parameter import Parameter
from prefectlite.language.pausing import Answers
from prefectlite.records import FlowRunRow


def run_values(
    graph: Graph, run: FlowRunRow, parameters: dict[str, Any], context: dict[str, Any], clock: Clock
) -> dict[str, Any]:
    """The values for a run of `graph`: its parameters with their defaults, its names and ids, its dates, and `context`.

    `date` may be given in `context`, as a datetime or as text; today, yesterday and tomorrow follow from it.
    """
    date = _date(context.get("date"), clock)
    defaults = {task.name: task.default for task in graph.parameters() if isinstance(task, Parameter) and not task.required}
    return {
        **_days(date),
        **context,
        "date": date,
        "parameters": {**defaults, **context.get("parameters", {}), **parameters},
        "flow_name": graph.name,
        "flow_id": run.flow_id,
        "flow_run_id": run.id,
        "flow_run_name": run.name,
        "scheduled_start_time": from_micros(run.scheduled_start_time),
    }


def task_values(values: Mapping[str, Any], unit: Unit, run_count: int) -> dict[str, Any]:
    """The values for one pass of `unit`: those of its flow run, those given for its task, and what it is."""
    node, task = unit.node, unit.node.task
    values = {
        **values,
        **node.values,
        "task_name": task.name,
        "task_full_name": unit.label,
        "task_slug": node.slug,
        "task_id": node.task_id,
        "task_tags": task.tags,
        "task_run_id": unit.run_id,
        "idempotency_key": unit.run_id,  # the same whenever this work is begun again, be it by another process
        "task_run_count": run_count,
        "map_index": unit.index if unit.index >= 0 else None,
    }
    if unit.answers is not None:
        values["resume_inputs"] = Answers(unit.answers)
    if unit.round is not None:
        values["task_loop_count"], values["task_loop_result"] = unit.round
        values["idempotency_key"] = f"{unit.run_id}-{unit.round.number}"
    return values


def _date(given: Any, clock: Clock) -> datetime:
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            warnings.warn(f"The date in the context cannot be read: {given!r}; it is now instead", UserWarning, stacklevel=2)
            given = None
    if not isinstance(given, datetime):
        return clock.now()
    return given if given.tzinfo is not None else given.replace(tzinfo=UTC)


def _days(date: datetime) -> dict[str, str]:
    days = {"today": date, "yesterday": date - timedelta(days=1), "tomorrow": date + timedelta(days=1)}
    dashed = {name: day.date().isoformat() for name, day in days.items()}
    return dashed | {f"{name}_nodash": day.replace("-", "") for name, day in dashed.items()}
