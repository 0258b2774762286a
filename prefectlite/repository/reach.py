"""How far a token reaches that is not for everything: the flow runs that it is good for, and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from prefectlite.repository.dialect import Dialect
from prefectlite.repository.labels import fitting
from prefectlite.states import Queued, Scheduled, names_of

_WAITING = ", ".join(f"'{name}'" for kind in (Scheduled, Queued) for name in names_of(kind))
_AGENT_ID = 36  # characters, at the beginning of the id of an executor elsewhere; a slash follows
#: What belongs to a flow run, to a task run and to a flow, by its columns.
OF_FLOW_RUN = ("flow_run_state", "task_run", "log", "hook_delivery", "automation_firing")
OF_TASK_RUN = ("task_run_state", "task_run_artifact")
OF_FLOW = ("task", "edge")
Bind = Callable[[Any], str]


class Reach(msgspec.Struct, frozen=True):
    """The flow runs that these agents (ids, with labels) execute or may take, in these projects; or one run alone."""

    agents: dict[str, list[str]] = {}
    projects: list[str] | None = None
    flow_run_id: str | None = None

    def flow_run(self, dialect: Dialect, run: str, bind: Bind) -> str:
        """Whether the row `run` of flow_run is one of them. Runs of flows that are not registered are no agent's."""
        if self.flow_run_id is not None:
            return f"{run}.id = {bind(self.flow_run_id)}"
        if not self.agents:
            return "1 = 0"

        def of_agents(column: str) -> str:
            return dialect.among(column, bind(dialect.listed(self.agents)))

        def fits(labels: tuple[str, ...]) -> str:
            return f"({fitting(dialect, f'{run}.labels', labels, bind)})"

        kinds = sorted({tuple(sorted(set(labels))) for labels in self.agents.values()})
        registered = f"f.id = {run}.flow_id AND f.project_id IS NOT NULL"
        if self.projects is not None:
            registered += f" AND {dialect.among('f.project_id', bind(dialect.listed(self.projects)))}"
        owned = f"substr({run}.owner, {_AGENT_ID + 1}, 1) = '/' AND {of_agents(f'substr({run}.owner, 1, {_AGENT_ID})')}"
        return (
            f"EXISTS (SELECT 1 FROM flow AS f WHERE {registered}) AND CASE"
            f" WHEN {run}.owner IS NOT NULL THEN {owned}"
            f" WHEN {run}.agent_id IS NOT NULL AND {run}.state NOT IN ({_WAITING}) THEN {of_agents(f'{run}.agent_id')}"
            f" ELSE {' OR '.join(map(fits, kinds))} END"
        )

    def flow(self, dialect: Dialect, flow: str, bind: Bind) -> str | None:
        """Whether the row `flow` of flow is within reach; None where all are."""
        if self.flow_run_id is not None:
            return f"{flow}.id = (SELECT r.flow_id FROM flow_run AS r WHERE r.id = {bind(self.flow_run_id)})"
        if self.projects is None:
            return None
        return dialect.among(f"{flow}.project_id", bind(dialect.listed(self.projects)))

    def project(self, dialect: Dialect, project: str, bind: Bind) -> str | None:
        """Whether the row `project` of project is within reach; None where all are."""
        if self.flow_run_id is not None:
            return f"{project}.id = (SELECT w.project_id FROM flow AS w WHERE {self.flow(dialect, 'w', bind)})"
        return None if self.projects is None else dialect.among(f"{project}.id", bind(dialect.listed(self.projects)))

    def row(self, dialect: Dialect, table: str, alias: str, bind: Bind) -> str | None:
        """Whether the row `alias` of `table` is within reach; None where all are."""
        if table == "flow_run":
            return self.flow_run(dialect, alias, bind)
        if table in OF_FLOW_RUN:
            run = f"SELECT 1 FROM flow_run AS o WHERE o.id = {alias}.flow_run_id"
            return f"EXISTS ({run} AND {self.flow_run(dialect, 'o', bind)})"
        if table in OF_TASK_RUN:
            run = f"SELECT 1 FROM task_run AS k JOIN flow_run AS o ON o.id = k.flow_run_id WHERE k.id = {alias}.task_run_id"
            return f"EXISTS ({run} AND {self.flow_run(dialect, 'o', bind)})"
        if table == "flow":
            return self.flow(dialect, alias, bind)
        if table == "project":
            return self.project(dialect, alias, bind)
        within = self.flow(dialect, "w", bind) if table in (*OF_FLOW, "flow_group") else None
        if within is None:
            return None
        joint = f"w.flow_group_id = {alias}.id" if table == "flow_group" else f"w.id = {alias}.flow_id"
        return f"EXISTS (SELECT 1 FROM flow AS w WHERE {joint} AND {within})"
