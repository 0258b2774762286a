"""New flow runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from prefectlite.clock import Clock, from_micros, to_micros
from prefectlite.errors import BadRequest
from prefectlite.ids import new_id
from prefectlite.names import run_name
from prefectlite.orchestrator.protocols import Orchestrator
from prefectlite.records import FlowRunRow, StateRecord, record_state
from prefectlite.repository import runs
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.flow_to_run import FlowToRun, flow_for_run
from prefectlite.rules.proposals import FlowRunCreation, FlowRunProposal
from prefectlite.run_configs import RunConfig, run_config_document
from prefectlite.states import Scheduled, State


class NewRuns:
    """Makes flow runs, in state Scheduled."""

    def __init__(self, database: Database, orchestrator: Orchestrator, clock: Clock) -> None:
        self._database, self._orchestrator, self._clock = database, orchestrator, clock

    async def create_flow_run(
        self,
        *,
        flow_id: str | None = None,
        version_group_id: str | None = None,
        parameters: dict[str, Any] | None = None,
        labels: list[str] | None = None,
        context: dict[str, Any] | None = None,
        run_config: RunConfig | dict[str, Any] | None = None,
        scheduled_start_time: datetime | None = None,
        idempotency_key: str | None = None,
        flow_run_name: str | None = None,
        auto_scheduled: bool = False,
        delay: timedelta | None = None,
        claim: str | None = None,
    ) -> str:
        """The id of a new flow run, scheduled for now or the time given; of the earlier one made with the same key.

        `auto_scheduled` says that a schedule asks for it; with a `delay` it begins so much later than it is scheduled for.
        It is kept for the executor `claim`, if one is given: no agent begins it as long as that is there.
        Raises NotFound or BadRequest if there is no such flow to run, ParameterError if the parameters are not its own.
        """
        if context and "secrets" in context:
            raise BadRequest("context.secrets: secrets are not kept with a run. Set them with set_secret")
        if (flow_id is None) == (version_group_id is None):
            raise BadRequest("Give either flow_id or version_group_id, to say which flow is to run")

        wanted = run_config_document(run_config, "create_flow_run")

        async def find(tx: Transaction) -> FlowToRun:
            return await flow_for_run(tx, flow_id, version_group_id)

        flow = await self._database.write(find)
        if idempotency_key and (earlier := await runs.run_with_key(self._database, flow.id, idempotency_key)):
            return earlier
        facts = FlowRunCreation(
            flow_id=flow.id,
            name=flow_run_name or run_name(),
            parameters=flow.complete(parameters or {}),
            context=context or {},
            labels=flow.labels(labels, wanted),
            run_config=next((one for one in (wanted, *flow.run_configs) if one is not None), None),
            scheduled_start_time=to_micros(scheduled_start_time) if scheduled_start_time else self._clock.micros(),
            idempotency_key=idempotency_key,
            auto_scheduled=auto_scheduled,
        )
        try:
            return (await self.create_run(facts, claim, delay=delay)).id
        except Exception:  # somebody else used the key in between
            if idempotency_key and (earlier := await runs.run_with_key(self._database, flow.id, idempotency_key)):
                return earlier
            raise

    async def create_run(
        self,
        facts: FlowRunCreation,
        claim: str | None = None,
        run_id: str | None = None,
        delay: timedelta | None = None,
    ) -> FlowRunRow:
        """A new flow run with these facts, in state Scheduled; kept for the process `claim`, if one is given."""
        start = from_micros(facts.scheduled_start_time) + (delay or timedelta())
        state = Scheduled("Flow run scheduled.", start_time=start)
        run_id, record = run_id or new_id(), self._record(state)
        await self._orchestrator.propose(FlowRunProposal(run_id, record, create=facts, claim=claim))
        return FlowRunRow(
            id=run_id,
            flow_id=facts.flow_id,
            name=facts.name,
            parameters=facts.parameters,
            context=facts.context,
            scheduled_start_time=facts.scheduled_start_time,
            version=1,
            state=record.name,
            state_message=record.message,
            state_start_time=record.start_time,
            owner=claim,
            lease_epoch=0,
            auto_scheduled=int(facts.auto_scheduled),
            labels=facts.labels,
            run_config=facts.run_config,
        )

    def _record(self, state: State) -> StateRecord:
        return record_state(state, new_id(), self._clock.micros())
