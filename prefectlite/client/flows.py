"""Projects, flows and their groups, changed after they were made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from prefectlite.client.schedules import Schedules
from prefectlite.clock import Clock
from prefectlite.errors import BadRequest
from prefectlite.ids import new_id
from prefectlite.language.foreign import edge_from, flow_from, task_from
from prefectlite.orchestrator.protocols import Orchestrator
from prefectlite.records import record_state
from prefectlite.repository import flow_changes, flows
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.flows import FOREIGN, FlowVersion
from prefectlite.rules.proposals import FlowRunProposal
from prefectlite.states import Cancelled

T = TypeVar("T")
#: So many tasks, or edges, are registered at a time; a client with more sends them in parts.
MOST_AT_ONCE = 10_000


class Flows:
    """What people and clients do with flows as a whole. Every method raises NotFound for what is not there."""

    def __init__(self, database: Database, orchestrator: Orchestrator, clock: Clock, schedules: Schedules) -> None:
        self._database, self._orchestrator, self._clock, self._schedules = database, orchestrator, clock, schedules

    async def register_foreign(
        self,
        document: dict[str, Any],
        project_id: str,
        core_version: str,
        *,
        version_group_id: str | None = None,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """The id of a flow that a client of Prefect 1.x describes: a new version, but for a key that was used before.

        Raises BadRequest, naming what is amiss in the document.
        """
        version = FlowVersion(
            flow_from(document),
            idempotency_key or new_id(),
            project_id,
            document.get("storage") or {},
            description,
            version_group_id,
            document=document,
            core_version=core_version,
            runtime=FOREIGN,
        )
        return (await self._write(lambda tx: flows.save_flow(tx, version, self._clock.micros()))).id

    async def add_tasks(self, flow_id: str, documents: Sequence[Any]) -> None:
        """Register tasks of a flow whose client sends them apart. Raises BadRequest."""
        tasks = [{**task_from(document), **_UNPLACED} for document in _bounded(documents, "serialized_tasks")]
        await self._write(lambda tx: flow_changes.add_tasks(tx, flow_id, tasks, self._clock.micros()))

    async def add_edges(self, flow_id: str, documents: Sequence[Any]) -> None:
        """Register edges of a flow whose client sends them apart. Raises BadRequest."""
        edges = [edge_from(document) for document in _bounded(documents, "serialized_edges")]
        await self._write(lambda tx: flow_changes.add_edges(tx, flow_id, edges))

    async def archive(self, flow_id: str) -> None:
        """Archive a flow; runs that wait are cancelled, those that a schedule made forgotten, and running ones go on."""
        waiting = await self._write(lambda tx: flow_changes.archive(tx, flow_id, self._clock.micros()))
        for run_id in waiting:
            record = record_state(Cancelled(f"Flow {flow_id} was archived."), new_id(), self._clock.micros())
            await self._orchestrator.propose(FlowRunProposal(run_id, record))

    async def set_schedule_active(self, flow_id: str, *, is_active: bool) -> bool:
        """Switch the schedule of a flow on or off; on, its next runs are made at once. False if it has none.

        Raises BadRequest if a required parameter would have no value.
        """
        has_schedule = not is_active or await self._schedules.check(flow_id)

        async def write() -> list[str]:
            on, now = is_active and has_schedule, self._clock.micros()
            await self._write(lambda tx: flow_changes.set_schedule_active(tx, flow_id, now, is_active=on))
            return [flow_id]

        await self._schedules.change(write)
        return has_schedule

    async def set_group_schedule(self, group_id: str, schedule: dict[str, Any] | None) -> None:
        """Give all versions of a flow a schedule in place of their own, or, with None, their own again.

        Runs that were made and have not begun are made anew. Raises BadRequest, saying what is wrong with the schedule.
        """

        async def write() -> list[str]:
            now = self._clock.micros()
            return await self._write(lambda tx: flow_changes.set_group_schedule(tx, group_id, now, schedule))

        await self._schedules.change(write)

    async def move(self, flow_id: str, project_id: str) -> None:
        """Put all versions of a flow into another project."""
        await self._write(lambda tx: flow_changes.move_flow(tx, flow_id, project_id, self._clock.micros()))

    async def set_project(self, project_id: str, **columns: str | None) -> None:
        """Give a project another `name` or `description`. Raises BadRequest if the name is taken."""
        await self._write(lambda tx: flow_changes.set_project(tx, project_id, self._clock.micros(), **columns))

    async def set_group(self, group_id: str, **columns: Any) -> None:
        """Set the description, labels, run_config or default_parameters of a flow group."""
        await self._write(lambda tx: flow_changes.set_group(tx, group_id, self._clock.micros(), **columns))

    async def set_setting(self, flow_id: str, **settings: bool) -> None:
        """Set settings, such as `lazarus_enabled`, of the group that a flow belongs to."""
        await self._write(lambda tx: flow_changes.set_setting(tx, flow_id, self._clock.micros(), **settings))

    async def delete(self, table: str, row_id: str) -> None:
        """Delete a row of `table`, a project or flow or run, with all that belongs to it."""
        await self._write(lambda tx: flow_changes.delete(tx, table, row_id))

    async def _write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._database.write(work, durable=True)


_UNPLACED: Mapping[str, bool] = {
    "mapped": False,
    "is_root_task": True,
    "is_terminal_task": True,
    "is_reference_task": True,
}


def _bounded(documents: Sequence[Any], path: str) -> Sequence[Any]:
    if len(documents) > MOST_AT_ONCE:
        raise BadRequest(f"{path}: at most {MOST_AT_ONCE:,} at a time")
    return documents
