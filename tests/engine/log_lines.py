"""A run log in a list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefectlite.clock import SystemClock
from prefectlite.contexts import active_log, context
from prefectlite.engine.run_logs import LogSink
from prefectlite.records import LogRow


class Lines:
    """A RunLog that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[LogRow] = []

    def write(self, line: LogRow) -> None:
        self.rows.append(line)

    async def drain(self) -> None:
        """Everything is there at once."""

    @property
    def messages(self) -> list[str]:
        return [row.message for row in self.rows]

    def of(self, task_run_id: str) -> list[str]:
        return [row.message for row in self.rows if row.task_run_id == task_run_id]

    @contextmanager
    def running(self, task_name: str = "extract", **values: str) -> Iterator[None]:
        """As inside a task of a run whose log this is."""
        token = active_log.set(LogSink(self, SystemClock(), "run"))
        ids = {"flow_name": "daily", "flow_run_id": "run", "task_run_id": task_name, "task_slug": f"{task_name}-1"}
        try:
            with context(ids, task_name=task_name, **values):
                yield
        finally:
            active_log.reset(token)
