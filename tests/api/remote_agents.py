"""Agents in other processes, each with a token of its own, as they ask a server over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from prefectlite import Runtime
from prefectlite.ids import new_id
from prefectlite.orchestrator.calls import PROPOSE, Call, Executor, Proposals
from prefectlite.records import record_state
from prefectlite.roles import Role
from prefectlite.rules.proposals import FlowRunProposal, Proposal, TaskRunProposal
from prefectlite.states import Running, State, Success

CALL = "mutation ($i: executor_call_input!) { executor_call(input: $i) { answer } }"
REGISTER = "mutation ($i: register_agent_input!) { register_agent(input: $i) { id } }"


class Agent:
    """An agent with a token of its own, in another process."""

    def __init__(self, runtime: Runtime, http: httpx.AsyncClient, token: str) -> None:
        self._runtime, self._http = runtime, http
        self.token, self.executor = token, Executor("", "", [])

    async def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        response = await self._http.post(
            "/graphql",
            json={"query": query, "variables": variables},
            headers={"authorization": f"Bearer {self.token}"},
        )
        found: dict[str, Any] = response.json()
        return found

    async def register(self, *labels: str) -> None:
        answer = await self.graphql(REGISTER, i={"type": "LocalAgent", "name": "one", "labels": list(labels)})
        agent_id = answer["data"]["register_agent"]["id"]
        self.executor = Executor(f"{agent_id}/{new_id()}", agent_id, list(labels))

    async def asks(self, call: Call[Any, Any], question: Any) -> Any:
        """The answer, or the code of the error."""
        given = {"call": call.name, "question": msgspec.to_builtins(question)}
        answer = await self.graphql(CALL, i=given)
        if "errors" in answer:
            return answer["errors"][0]["extensions"]["code"]
        return answer["data"]["executor_call"]["answer"]

    def record(self, state: State) -> Any:
        return record_state(state, new_id(), self._runtime.session.clock.micros())

    async def proposes(self, *proposals: Proposal) -> Any:
        """What is answered: the verdicts as (type, code), or the code of the error."""
        answer = await self.asks(PROPOSE, Proposals(list(proposals)))
        return answer if isinstance(answer, str) else [(one["type"], one.get("code")) for one in answer["verdicts"]]

    async def claims(self, run_id: str, **more: Any) -> Any:
        return await self.proposes(FlowRunProposal(run_id, self.record(Running()), **{"claim": self.executor.id, **more}))

    async def ends(self, run_id: str, lease: int | None, state: State | None = None) -> Any:
        return await self.proposes(FlowRunProposal(run_id, self.record(state or Success()), lease=lease))


async def agent_of(runtime: Runtime, http: httpx.AsyncClient, name: str, **bounds: Any) -> Agent:
    """An agent that has a new token, and has not registered."""
    return Agent(runtime, http, (await runtime.session.client.tokens.create(name, Role.AGENT, **bounds)).text)


async def run_with(runtime: Runtime, *labels: str) -> str:
    """The id of a new run for agents with these labels."""
    [(flow_id,)] = await runtime.session.database.read("SELECT id FROM flow WHERE name = 'doubling'")
    return await runtime.session.client.create_flow_run(flow_id=flow_id, labels=list(labels))


async def task_run_of(runtime: Runtime, run_id: str, lease: int) -> tuple[str, TaskRunProposal]:
    """A task run's id, and how it would begin."""
    [(task_id,)] = await runtime.session.database.read(
        "SELECT min(t.id) FROM task t JOIN flow_run r ON r.flow_id = t.flow_id WHERE r.id = $1 AND t.mapped = 0", (run_id,)
    )
    record = record_state(Running(), new_id(), runtime.session.clock.micros())
    task_run_id = new_id()
    return task_run_id, TaskRunProposal(task_run_id, run_id, task_id, -1, record, 0, lease)
