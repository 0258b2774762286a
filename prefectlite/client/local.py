"""The client of a session in this process."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from prefectlite.client import restarts
from prefectlite.client.agents import Agents
from prefectlite.client.artifacts import Artifacts
from prefectlite.client.automations import Automations
from prefectlite.client.executors import Executors
from prefectlite.client.flows import Flows
from prefectlite.client.foreign import ForeignRuns
from prefectlite.client.hooks import CloudHooks
from prefectlite.client.key_values import KeyValues
from prefectlite.client.limits import Limits
from prefectlite.client.many_runs import ManyRuns
from prefectlite.client.messages import Messages
from prefectlite.client.new_runs import NewRuns
from prefectlite.client.pauses import Pauses
from prefectlite.client.schedules import Schedules
from prefectlite.client.secrets import Secrets
from prefectlite.client.tokens import Tokens
from prefectlite.clock import Clock
from prefectlite.errors import BadRequest, TransitionRefused
from prefectlite.language.parameter import nearest
from prefectlite.language.serialized import complete, digest_of
from prefectlite.orchestrator.protocols import Orchestrator
from prefectlite.records import FlowRow, FlowRunRow, TaskRunRow, context_of
from prefectlite.repository import flow_changes, flows, retention, runs
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.flows import OWN, FlowVersion
from prefectlite.repository.secret_keys import SecretKeys
from prefectlite.results import codec
from prefectlite.rules.proposals import FlowRunProposal, Refuse, Replace, TaskRunProposal, Verdict
from prefectlite.states import Cancelling, Paused, Pending, Resume, Scheduled, State


class LocalClient(NewRuns):
    """Creates and changes what the record holds; every change of a state goes through the orchestrator."""

    def __init__(self, database: Database, orchestrator: Orchestrator, clock: Clock, keys: SecretKeys) -> None:
        super().__init__(database, orchestrator, clock)
        self.agents = Agents(database, clock)
        self.artifacts = Artifacts(database, clock)
        self.executors = Executors(database, clock)
        self.key_values = KeyValues(database, clock)
        self.limits = Limits(database, clock, orchestrator.queue)
        self.secrets = Secrets(database, clock, keys)
        self.messages = Messages(database, clock)
        self.hooks, self.automations = CloudHooks(database, clock, keys, self.messages), Automations(database, clock)
        self.tokens = Tokens(database, clock)
        self.foreign = ForeignRuns(database, orchestrator, clock)
        self.schedules = Schedules(database, orchestrator, clock, self.create_flow_run)
        self.flows = Flows(database, orchestrator, clock, self.schedules)
        self.pauses = Pauses(database, orchestrator, clock, self.foreign)
        self.many = ManyRuns(database, orchestrator, clock, self.restart)

    async def create_project(self, name: str, description: str | None = None) -> str:
        """The id of the new project. Raises BadRequest ("Uniqueness violation.") if there is one of this name."""

        async def work(tx: Transaction) -> str:
            return await flows.create_project(tx, name, description, self._clock.micros())

        return await self._database.write(work, durable=True)

    async def project_named(self, name: str) -> str:
        """The id of the project of this name, which is made if there is none."""

        async def work(tx: Transaction) -> str:
            return await flows.project_named(tx, name, self._clock.micros())

        return await self._database.write(work, durable=True)

    async def set_project_retention(self, project_id: str, days: int | None, log_days: int | None = None) -> None:
        """For how many days a project keeps finished runs, and logs: 0 is for ever, None what the settings say.

        Raises NotFound if there is no such project, BadRequest for a negative number.
        """

        async def work(tx: Transaction) -> None:
            await retention.set_retention(tx, project_id, days, log_days)

        await self._database.write(work, durable=True)

    async def save_flow(self, version: FlowVersion) -> FlowRow:
        """The row of this flow, a new version if it changed. Raises NotFound if its project does not exist."""

        async def work(tx: Transaction) -> FlowRow:
            return await flows.save_flow(tx, version, self._clock.micros())

        row = await self._database.write(work, durable=version.project_id is not None)
        if version.as_sent.get("schedule") and version.runtime == OWN:
            if version.schedule_active is not None and not row.is_new:
                await self.flows.set_schedule_active(row.id, is_active=version.schedule_active)
            await self.schedules.begin(row.id, row.name)
        return row

    async def register_flow(
        self,
        serialized_flow: dict[str, Any],
        project_id: str,
        *,
        version_group_id: str | None = None,
        description: str | None = None,
        idempotency_key: str | None = None,
        schedule_active: bool | None = None,
    ) -> str:
        """The id of the flow's row, from the plain data that a client sent. Raises BadRequest if it is not a flow's."""
        content = dict(serialized_flow)
        storage = content.pop("storage", None)
        code = content.pop("digest", None)
        force = content.pop("force", False) is True
        complete(content)
        version = FlowVersion(
            content,
            idempotency_key or code or digest_of(content),
            project_id,
            storage,
            description,
            version_group_id,
            force=force,
            schedule_active=schedule_active,
        )
        return (await self.save_flow(version)).id

    async def cancel_flow_run(self, flow_run_id: str) -> str:
        """The name of the state the run is in now: Cancelling if it was executing, else the final one. Raises NotFound."""
        row = await runs.flow_run(self._database, flow_run_id)
        if row.is_finished:
            return row.state
        verdict = await self._orchestrator.propose(
            FlowRunProposal(flow_run_id, self._record(Cancelling("Flow run is being cancelled")))
        )
        if isinstance(verdict, Replace):
            await self.foreign.cancel_task_runs(flow_run_id)
            return verdict.state.name
        if isinstance(verdict, Refuse):  # it ended in between
            return (await runs.flow_run(self._database, flow_run_id)).state
        return "Cancelling"

    async def set_name(self, table: str, run_id: str, name: str) -> None:
        """Rename a flow run or task run (`table` says which). Raises NotFound."""

        async def work(tx: Transaction) -> None:
            await flow_changes.set_run(tx, table, run_id, self._clock.micros(), name=name)

        await self._database.write(work, durable=True)

    async def set_labels(self, flow_run_id: str, labels: Collection[str]) -> None:
        """Say which labels an agent must have to take a run. Raises NotFound."""

        async def work(tx: Transaction) -> None:
            await flow_changes.set_run(tx, "flow_run", flow_run_id, self._clock.micros(), labels=sorted(set(labels)))

        await self._database.write(work, durable=True)

    async def restart_flow_run(self, flow_run_id: str, claim: str, tasks: Collection[str] = ()) -> FlowRunRow:
        """The run, which has ended, scheduled again, and kept for the process `claim`.

        These tasks (named by name or slug) run again, or those that did not succeed, with all that depends on them; what the
        others gave is gone by. Raises NotFound, BadRequest if there is nothing to run again, and TransitionRefused.
        """
        row = await runs.flow_run(self._database, flow_run_id)
        if not row.is_finished:
            raise BadRequest(f"Flow run {row.name!r} has not ended, so that it cannot be restarted: it is {row.state}")
        flow = await flows.flow_by_id(self._database, row.flow_id)
        structure = await flows.structure(self._database, flow)
        known = await runs.task_run_states(self._database, flow_run_id)
        again = restarts.to_run_again(known, restarts.dependencies(structure, flow.task_ids), _ids(flow, structure, tasks))
        if not again:
            raise BadRequest(
                f"All tasks of flow run {row.name!r} succeeded: say which one is to run again, and what follows"
            )
        scheduled = self._record(Scheduled("Flow run restarted.", start_time=self._clock.now()))
        proposal = FlowRunProposal(flow_run_id, scheduled, row.version, claim=claim, restart=True)
        _answer(await self._orchestrator.propose(proposal))  # from here on it is ours, and nobody begins it
        for answer in [self._orchestrator.propose(self._run_again(flow_run_id, run)) for run in again]:
            _answer(await answer)
        return await runs.flow_run(self._database, flow_run_id)

    async def restart(self, flow_run_id: str, holder: str, tasks: Collection[str] = ()) -> None:
        """As `restart_flow_run`, for whichever agent takes the run then; until its tasks are reset, `holder` has it."""
        row = await self.restart_flow_run(flow_run_id, holder, tasks)
        await self.set_flow_run_state(
            flow_run_id, Scheduled("Flow run restarted.", start_time=self._clock.now()), row.version
        )

    async def set_flow_run_state(self, flow_run_id: str, state: State, version: int | None = None) -> str:
        """An empty string if the run is in `state` now, else what it became instead. Raises TransitionRefused, NotFound."""
        await runs.flow_run(self._database, flow_run_id)
        restart = isinstance(state, Scheduled)
        return _answer(
            await self._orchestrator.propose(FlowRunProposal(flow_run_id, self._record(state), version, restart=restart))
        )

    async def set_task_run_state(self, task_run_id: str, state: State, version: int | None = None) -> str:
        """As `set_flow_run_state`, for a task run."""
        place = await runs.task_run_place(self._database, task_run_id)
        if isinstance(state, Paused):
            await self.pauses.pause_task_run(task_run_id, state, version)
            return ""
        if isinstance(state, Resume):  # the same attempt goes on, whichever process has it then
            state.context = {**state.context, **context_of(place.state_details)}
        restart = state.is_pending() or state.is_meta_state()
        proposal = TaskRunProposal(
            task_run_id, place.flow_run_id, place.task_id, place.map_index, self._record(state), version, restart=restart
        )
        return _answer(await self._orchestrator.propose(proposal))

    def _run_again(self, flow_run_id: str, run: TaskRunRow) -> TaskRunProposal:
        record = self._record(Pending("Task run is to run again."))
        return TaskRunProposal(
            run.id, flow_run_id, run.task_id, run.map_index, record, run.version, result=codec.NONE_INSTEAD, restart=True
        )


def _answer(verdict: Verdict) -> str:
    if isinstance(verdict, Refuse):
        raise TransitionRefused(verdict.reason)
    return f"The run is {verdict.state.name} instead" if isinstance(verdict, Replace) else ""


def _ids(flow: FlowRow, structure: dict[str, Any], wanted: Collection[str]) -> set[str]:
    """The ids of the tasks with these names or slugs. Raises BadRequest for one that the flow does not have."""
    ids: set[str] = set()
    for name in wanted:
        slugs = [task["slug"] for task in structure["tasks"] if name in (task["slug"], task["name"])]
        if not slugs:
            names = {task["name"] for task in structure["tasks"]}
            raise BadRequest(f"Flow {flow.name!r} has no task {name!r}.{nearest([name], names)}")
        ids.update(flow.task_ids[slug] for slug in slugs)
    return ids
