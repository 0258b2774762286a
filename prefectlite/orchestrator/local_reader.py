"""Reading the record of a local database."""

from __future__ import annotations

from prefectlite.orchestrator.persistence import read_at_last
from prefectlite.records import ResultRecord, StateRecord, TaskRunRow
from prefectlite.repository import runs
from prefectlite.repository.database import Database


class LocalRunReader:
    """A RunReader over a database of this process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def task_run_state(self, task_run_id: str) -> tuple[StateRecord, int]:
        """(its state, version) of a task run. Raises NotFound."""
        return await read_at_last(lambda: runs.state_of(self._database, "task_run", task_run_id), "states")

    async def flow_run_state(self, flow_run_id: str) -> tuple[StateRecord, int]:
        """(its state, version) of a flow run. Raises NotFound."""
        return await read_at_last(lambda: runs.state_of(self._database, "flow_run", flow_run_id), "states")

    async def task_runs(self, flow_run_id: str) -> list[TaskRunRow]:
        """What has happened in this run so far."""
        return await read_at_last(lambda: runs.task_runs(self._database, flow_run_id), "states")

    async def cached(self, key: str, flow_run_id: str, map_index: int) -> list[tuple[StateRecord, ResultRecord | None]]:
        """The states, with their results, that task runs cached under `key` in other flow runs than this one.

        Those of the child with this map index come first, then the newest.
        """
        return await read_at_last(lambda: runs.cached_states(self._database, key, flow_run_id, map_index), "cached states")
