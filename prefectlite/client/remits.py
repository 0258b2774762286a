"""What the token of an agent or a run is good for: the runs that its agents execute, or may take; or that one run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from prefectlite.client.tokens import Bounds
from prefectlite.errors import Forbidden
from prefectlite.orchestrator import calls
from prefectlite.orchestrator.calls import Call, Executor, Proposals, ResultOffer
from prefectlite.records import LogRow, RunLease
from prefectlite.repository import agent_runs
from prefectlite.repository.database import Database
from prefectlite.repository.reach import Reach
from prefectlite.rules.proposals import FlowRunProposal, Proposal, Refuse
from prefectlite.states import ClientFailed, Failed, Scheduled, Submitted, names_of

#: What an agent says of a run that it has not begun.
_BEFORE = frozenset(name for kind in (Failed, ClientFailed, Submitted, Scheduled) for name in names_of(kind))
_OF_EXECUTOR = frozenset(call.name for call in (calls.SCHEDULED_RUNS, calls.LEAVE))
_OF_RUN = frozenset(call.name for call in (calls.TASK_RUNS, calls.FLOW_RUN, calls.FLOW_RUN_STATE, calls.MAY_BEGIN))
_KEYS = (calls.SET_KEY, calls.GET_KEY, calls.DELETE_KEY, calls.LIST_KEYS)
#: Of whose proposals and lines those are left out that are not theirs; and what is nobody's in particular.
_OF_ALL = frozenset(call.name for call in (calls.PROPOSE, calls.WRITE_LINES, calls.SLOT_NEWS, *_KEYS))
#: What the code of a run may ask itself. What else its execution needs is asked by whoever executes it.
OF_RUNS = frozenset(
    call.name for call in (calls.FLOW_RUN, calls.FLOW_RUN_STATE, calls.TASK_RUNS, calls.TASK_RUN_STATE, calls.SECRET)
)


class Remit:
    """The runs of the agents that were registered with one token, or the one run that a token was made for.

    Where the token says neither labels nor projects, the agents alone say by their labels which runs they may take.
    """

    def __init__(self, database: Database, token_id: str, bounds: Bounds) -> None:
        self._database, self._token_id, self._bounds = database, token_id, bounds

    async def reach(self) -> Reach:
        """How far the token reaches now."""
        if self._bounds.flow_run_id is not None:
            return Reach(flow_run_id=self._bounds.flow_run_id)
        return Reach(await self._agents(), self._bounds.projects)

    async def foreign(self, flow_run_ids: Collection[str]) -> set[str]:
        """Those of these flow runs, as far as there are such, that are another's."""
        if not flow_run_ids:
            return set()
        return await agent_runs.out_of_reach(self._database, await self.reach(), flow_run_ids)

    async def check_runs(self, flow_run_ids: Collection[str]) -> None:
        """Raises Forbidden if one of these flow runs is another's; of what there is not others tell."""
        for run_id in await self.foreign(flow_run_ids):
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

    def check_labels(self, labels: Collection[str]) -> None:
        """Raises Forbidden if the token is not for agents with these labels."""
        allowed = self._bounds.labels
        if allowed is not None and (not labels or set(labels) - set(allowed)):
            raise Forbidden(f"This token is for agents with labels of these, and no others: {', '.join(allowed)}")

    async def own(self, flow_run_ids: list[str]) -> list[str]:
        """Those of these flow runs that are not another's, in their order."""
        foreign = await self.foreign(flow_run_ids)
        return [run_id for run_id in flow_run_ids if run_id not in foreign]

    async def lines_of_own(self, lines: list[LogRow]) -> list[LogRow]:
        """Those lines that are of its runs, and of task runs of these."""
        foreign = await self.foreign({line.flow_run_id for line in lines})
        owners = await agent_runs.flow_runs_of(self._database, {line.task_run_id for line in lines if line.task_run_id})

        def is_own(line: LogRow) -> bool:
            return line.flow_run_id not in foreign and owners.get(line.task_run_id or "") in (None, line.flow_run_id)

        return [line for line in lines if is_own(line)]

    async def check_call(self, call: Call[Any, Any], question: Any) -> None:
        """Raises Forbidden if this may not be asked. Of proposals and lines see `refusals` and `lines_of_own`."""
        name = call.name
        if self._bounds.flow_run_id is not None and name not in OF_RUNS:
            raise Forbidden(f"The code of a run may not call {name!r}")
        if name in _OF_EXECUTOR:
            await self._check_executor(question)
        elif name in _OF_RUN:
            await self.check_runs([question])
        elif name == calls.KEEPS_RESULT.name:
            await self.check_offer(question)
        elif name == calls.TASK_RUN_STATE.name:
            await self.check_task_runs([question])
        elif name == calls.CACHED.name:
            await self.check_runs([question.flow_run_id])
        elif name == calls.FLOW.name:
            await self._check_flow(question)
        elif name == calls.SECRET.name:
            self._check_secret(question)
        elif name not in _OF_ALL:
            raise Forbidden(f"Nothing says whether agents may call {name!r}")

    async def check_lease(self, lease: RunLease) -> None:
        """Raises Forbidden if this is no execution of a run by an agent with this token."""
        if self._bounds.flow_run_id is not None:
            raise Forbidden("The code of a run is given its token by whoever executes it")
        await self.check_runs([lease.flow_run_id])
        if not _is_of(lease.owner, await self._agents()):
            raise Forbidden(f"Executor {lease.owner} is not one of the agents with this token")

    async def check_offer(self, offer: ResultOffer) -> None:
        """Raises Forbidden unless an executor of its agents executes the run, or says so, or the token is the run's own."""
        if self._bounds.flow_run_id is None and not _is_of(offer.executor_id, await self._agents()):
            raise Forbidden(f"Executor {offer.executor_id} is not one of an agent with this token")
        await self.check_runs([offer.flow_run_id])

    async def refusals(self, sent: Proposals) -> list[Refuse | None]:
        """The verdicts on those of the proposals that are not for these agents to make.

        Raises Forbidden for what no executor sends.
        """
        agents = await self._agents()
        foreign = await self.foreign({_flow_run_of(proposal) for proposal in sent.proposals})
        for proposal in sent.proposals:
            _check_form(proposal, agents)
        return [_refusal(proposal) if _flow_run_of(proposal) in foreign else None for proposal in sent.proposals]

    async def _check_executor(self, executor: Executor) -> None:
        labels = (await self._agents()).get(executor.agent_id)
        if labels is None or not _is_of(executor.id, [executor.agent_id]):
            raise Forbidden(f"Agent {executor.agent_id} was registered with another token")
        if set(labels) != set(executor.labels):
            raise Forbidden(f"Agent {executor.agent_id} was registered with other labels")

    async def _check_flow(self, flow_id: str) -> None:
        if not await agent_runs.is_flow_within(self._database, await self.reach(), flow_id):
            raise Forbidden(f"Flow {flow_id} is in none of the projects that this token is for")

    def _check_secret(self, secret: str) -> None:
        if not self._bounds.may_read(secret):
            raise Forbidden(
                f"This token may not read the secret {secret!r}: it was made for others (`prefectlite token list`)"
            )

    async def _agents(self) -> dict[str, list[str]]:
        return await agent_runs.agents_of(self._database, self._token_id)


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
