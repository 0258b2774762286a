"""What an agent's token is good for: the runs that its agents execute, or may take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prefectlite.errors import Forbidden
from prefectlite.orchestrator.calls import (
    CACHED,
    FLOW_RUN,
    KEEPS_RESULT,
    LEAVE,
    MAY_BEGIN,
    SCHEDULED_RUNS,
    TASK_RUN_STATE,
    TASK_RUNS,
    Call,
    Executor,
    Proposals,
    ResultOffer,
)
from prefectlite.records import LogRow
from prefectlite.repository import agent_runs
from prefectlite.repository.agent_runs import Held
from prefectlite.repository.database import Database
from prefectlite.repository.labels import fit
from prefectlite.rules.proposals import FlowRunProposal, Proposal, Refuse
from prefectlite.states import ClientFailed, Failed, Queued, Scheduled, Submitted, names_of

_WAITING = frozenset(name for kind in (Scheduled, Queued) for name in names_of(kind))
#: What an agent says of a run that it has not begun.
_BEFORE = frozenset(name for kind in (Failed, ClientFailed, Submitted, Scheduled) for name in names_of(kind))


class Remit:
    """The runs of the agents that were registered with one token. They alone say which these are, by their labels."""

    def __init__(self, database: Database, token_id: str) -> None:
        self._database, self._token_id = database, token_id

    async def check_runs(self, flow_run_ids: Iterable[str]) -> None:
        """Raises Forbidden if one of these flow runs is another's; of what there is not others tell."""
        for run_id in await self._foreign(flow_run_ids, await self._agents()):
            raise Forbidden(f"Flow run {run_id} is not one that the agents with this token execute or may take")

    async def check_task_runs(self, task_run_ids: Iterable[str]) -> None:
        """As `check_runs`, for the flow runs of task runs."""
        await self.check_runs((await agent_runs.flow_runs_of(self._database, task_run_ids)).values())

    async def check_artifact(self, artifact_id: str) -> None:
        """As `check_runs`, for the flow run of an artifact."""
        task_run_id = await agent_runs.task_run_of(self._database, artifact_id)
        await self.check_task_runs([] if task_run_id is None else [task_run_id])

    async def check_agent(self, agent_id: str | None) -> None:
        """Raises Forbidden if this is the agent of another token."""
        if agent_id is not None and agent_id not in await self._agents():
            raise Forbidden(f"Agent {agent_id} was registered with another token")

    async def lines_of_own(self, lines: list[LogRow]) -> list[LogRow]:
        """Those lines that are of its runs."""
        foreign = await self._foreign({line.flow_run_id for line in lines}, await self._agents())
        return [line for line in lines if line.flow_run_id not in foreign]

    async def check_call(self, call: Call[Any, Any], question: Any) -> None:
        """Raises Forbidden if an executor may not ask this. Of proposals and lines see `refusals` and `lines_of_own`."""
        name = call.name
        if name in (SCHEDULED_RUNS.name, LEAVE.name):
            await self._check_executor(question)
        elif name in (TASK_RUNS.name, FLOW_RUN.name, MAY_BEGIN.name):
            await self.check_runs([question])
        elif name == KEEPS_RESULT.name:
            await self.check_offer(question)
        elif name == TASK_RUN_STATE.name:
            await self.check_task_runs([question])
        elif name == CACHED.name:
            await self.check_runs([question.flow_run_id])

    async def check_offer(self, offer: ResultOffer) -> None:
        """Raises Forbidden unless an executor of its agents executes the run, or says so."""
        if not _is_of(offer.executor_id, await self._agents()):
            raise Forbidden(f"Executor {offer.executor_id} is not one of an agent with this token")
        await self.check_runs([offer.flow_run_id])

    async def refusals(self, sent: Proposals) -> list[Refuse | None]:
        """The verdicts on those of the proposals that are not for these agents to make.

        Raises Forbidden for what no executor sends.
        """
        agents = await self._agents()
        foreign = await self._foreign({_flow_run_of(proposal) for proposal in sent.proposals}, agents)
        for proposal in sent.proposals:
            _check_form(proposal, agents)
        return [_refusal(proposal) if _flow_run_of(proposal) in foreign else None for proposal in sent.proposals]

    async def _check_executor(self, executor: Executor) -> None:
        labels = (await self._agents()).get(executor.agent_id)
        if labels is None or not _is_of(executor.id, [executor.agent_id]):
            raise Forbidden(f"Agent {executor.agent_id} was registered with another token")
        if set(labels) != set(executor.labels):
            raise Forbidden(f"Agent {executor.agent_id} was registered with other labels")

    async def _agents(self) -> dict[str, list[str]]:
        return await agent_runs.agents_of(self._database, self._token_id)

    async def _foreign(self, flow_run_ids: Iterable[str], agents: dict[str, list[str]]) -> set[str]:
        found = await agent_runs.held(self._database, set(flow_run_ids))
        return {run.id for run in found.values() if not _is_own(run, agents)}


def _is_own(run: Held, agents: dict[str, list[str]]) -> bool:
    if not run.is_registered:
        return False
    if run.owner is not None:
        return _is_of(run.owner, agents)
    if run.agent_id is not None and run.state not in _WAITING:
        return run.agent_id in agents
    return any(fit(run.labels, labels) for labels in agents.values())


def _is_of(executor_id: str, agents: Iterable[str]) -> bool:
    agent_id, slash, _ = executor_id.partition("/")
    return bool(slash) and agent_id in agents


def _flow_run_of(proposal: Proposal) -> str:
    return proposal.run_id if isinstance(proposal, FlowRunProposal) else proposal.flow_run_id


def _check_form(proposal: Proposal, agents: dict[str, list[str]]) -> None:
    if not isinstance(proposal, FlowRunProposal):
        if proposal.lease is None:
            raise Forbidden("The state of a task run is proposed with the lease of its flow run")
        return
    if proposal.create is not None:
        raise Forbidden("Agents create no runs")
    if any(one is not None and not _is_of(one, agents) for one in (proposal.claim, proposal.takeover_from)):
        raise Forbidden("Agents claim runs for executors of their own")
    if proposal.lease is None and proposal.claim is None and proposal.state.name not in _BEFORE:
        raise Forbidden(f"{proposal.state.name} is proposed with the lease of the run")


def _refusal(proposal: Proposal) -> Refuse:
    run_id = _flow_run_of(proposal)
    if isinstance(proposal, FlowRunProposal) and proposal.lease is None:
        return Refuse("OWNED", f"flow run {run_id} is not for the agents with this token")
    return Refuse("STALE_LEASE", f"another process executes flow run {run_id} now")
