"""What the process of one run is answered: what is asked of that run, and not what is asked of others."""

from __future__ import annotations

from typing import Any

from prefectlite.errors import Forbidden
from prefectlite.orchestrator import calls
from prefectlite.orchestrator.answers import Answers
from prefectlite.orchestrator.calls import Call
from prefectlite.rules.proposals import FlowRunProposal, TaskRunProposal

_OF_RUN = frozenset(call.name for call in (calls.TASK_RUNS, calls.FLOW_RUN, calls.FLOW_RUN_STATE))
#: What executors ask, and the code of runs does not.
_OF_EXECUTORS = frozenset(call.name for call in (calls.SCHEDULED_RUNS, calls.LEAVE, calls.MAY_BEGIN, calls.RUN_TOKEN))


class RunAnswers(Answers):
    """The answers of `site`, for the process that executes the run `flow_run_id` for the executor `owner_id`."""

    def __init__(self, answers: Answers, flow_run_id: str, owner_id: str) -> None:
        self._answers, self._flow_run_id, self._owner_id = answers, flow_run_id, owner_id
        self._task_runs: set[str] = set()

    @property
    def names(self) -> list[str]:
        """The names of all calls that the site answers."""
        return self._answers.names

    def call_named(self, name: str) -> Call[Any, Any]:
        """As of the site."""
        return self._answers.call_named(name)

    async def answer(self, call: Call[Any, Any], question: Any) -> Any:
        """As of the site. Raises Forbidden for what is another run's."""
        self._check(call.name, question)
        answer = await self._answers.answer(call, question)
        if call.name == calls.TASK_RUNS.name:
            self._task_runs.update(row.id for row in answer)
        return answer

    def _check(self, name: str, question: Any) -> None:
        own = name not in _OF_EXECUTORS
        if name in _OF_RUN:
            own = question == self._flow_run_id
        elif name in (calls.CACHED.name, calls.KEEPS_RESULT.name):
            own = question.flow_run_id == self._flow_run_id
        elif name == calls.WRITE_LINES.name:
            own = all(line.flow_run_id == self._flow_run_id for line in question)
        elif name == calls.TASK_RUN_STATE.name:
            own = question in self._task_runs
        elif name == calls.PROPOSE.name:
            own = all(self._is_own(proposal) for proposal in question.proposals)
            self._task_runs.update(one.run_id for one in question.proposals if own and isinstance(one, TaskRunProposal))
        if not own:
            raise Forbidden(f"The process of flow run {self._flow_run_id} may not ask this: {name}")

    def _is_own(self, proposal: FlowRunProposal | TaskRunProposal) -> bool:
        if isinstance(proposal, TaskRunProposal):
            return proposal.flow_run_id == self._flow_run_id
        return proposal.run_id == self._flow_run_id and proposal.create is None and proposal.claim in (None, self._owner_id)
