"""A client of Prefect 1.x as far as the wire shows it: its headers, its bodies, its documents, its order of calls."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import httpx

VERSION = {"__version__": "1.4.1"}
AGENT = "X-PREFECT-AGENT-ID"


def _task(slug: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "prefect.tasks.core.function.FunctionTask",
        "name": slug.rpartition("-")[0],
        "slug": slug,
        "tags": [],
        "max_retries": 0,
        "retry_delay": None,
        "timeout": None,
        "trigger": {"fn": "prefect.triggers.all_successful", "kwargs": {}},
        "cache_key": None,
        "auto_generated": False,
        **VERSION,
        **more,
    }


def _edge(upstream: str, downstream: str, key: str | None, *, mapped: bool = False) -> dict[str, Any]:
    ends = {"upstream_task": {"slug": upstream, **VERSION}, "downstream_task": {"slug": downstream, **VERSION}}
    return {**ends, "key": key, "mapped": mapped, "flattened": False, **VERSION}


TASKS = [_task("numbers-1"), _task("twice-1", max_retries=2, retry_delay=90, timeout=5, tags=["b", "a"]), _task("total-1")]
EDGES = [_edge("numbers-1", "twice-1", "x", mapped=True), _edge("twice-1", "total-1", "xs")]


def document(name: str = "sums", **more: Any) -> dict[str, Any]:
    """A flow as its client describes it."""
    parameter = {"type": "prefect.core.parameter.Parameter", "name": "n", "slug": "n", "default": 0, "required": False}
    return {
        "name": name,
        "type": "prefect.core.flow.Flow",
        "schedule": None,
        "parameters": [{**parameter, "tags": [], "outputs": "typing.Any", **VERSION}],
        "tasks": TASKS,
        "edges": EDGES,
        "reference_tasks": [],
        "run_config": {"type": "UniversalRun", "labels": ["own"], "env": None, **VERSION},
        "storage": {"type": "Local", "directory": "/flows", "flows": {name: "/flows/it"}, **VERSION},
        **VERSION,
        **more,
    }


def packed(value: Any) -> str:
    """`value` as base64 of gzip of JSON."""
    return base64.b64encode(gzip.compress(json.dumps(value).encode(), mtime=0)).decode()


class PrefectClient:
    """Asks as the client does: variables are a text, and the version is in a header."""

    def __init__(self, http: httpx.AsyncClient, **headers: str) -> None:
        self.headers = {"X-PREFECT-CORE-VERSION": "1.4.1", **headers}
        self._http = http

    async def post(self, query: str, variables: Any = None) -> dict[str, Any]:
        """The whole answer."""
        body = {"query": query, "variables": json.dumps(variables)}
        response = await self._http.post("/", json=body, headers=self.headers)
        answer: dict[str, Any] = response.json()
        return answer

    async def ask(self, query: str, variables: Any = None) -> Any:
        """The data of an answer that has no errors."""
        answer = await self.post(query, variables)
        assert "errors" not in answer, answer
        return answer["data"]

    async def do(self, mutation: str, outputs: str = "success", /, **given: Any) -> Any:
        """What a mutation answers."""
        query = f"mutation($input: {mutation}_input!) {{ {mutation}(input: $input) {{ {outputs} }} }}"
        return (await self.ask(query, {"input": given}))[mutation]

    async def refusal(self, mutation: str, outputs: str = "success", /, **given: Any) -> str:
        """The message with which a mutation is refused."""
        query = f"mutation($input: {mutation}_input!) {{ {mutation}(input: $input) {{ {outputs} }} }}"
        answer = await self.post(query, {"input": given})
        assert answer.get("data", {}).get(mutation) is None
        message: str = answer["errors"][0]["message"]
        return message

    async def registered(self, flow: dict[str, Any] | None = None, **given: Any) -> str:
        """The id of a flow registered in one piece, in the project `p`."""
        flow = document() if flow is None else flow
        given.setdefault("project_id", await self.project())
        made = await self.do("create_flow_from_compressed_string", "id", serialized_flow=packed(flow), **given)
        flow_id: str = made["id"]
        return flow_id

    async def project(self) -> str:
        """The id of the project `p`."""
        await self.post('mutation { create_project(input: {name: "p", tenant_id: null}) { id } }')
        found = await self.ask('query { project(where: {name: {_eq: "p"}}) { id } }')
        project_id: str = found["project"][0]["id"]
        return project_id

    async def run_of(self, flow_id: str, **given: Any) -> str:
        """The id of a new run."""
        run_id: str = (await self.do("create_flow_run", "id", flow_id=flow_id, **given))["id"]
        return run_id

    async def set_state(self, kind: str, run_id: str, state: str, /, **more: Any) -> None:
        """Set a state of a `flow_run` or `task_run`."""
        given = {f"{kind}_id": run_id, "version": 7, "state": self.state(state, **more)}
        await self.do(f"set_{kind}_states", "states { id status message }", states=[given])

    async def state_refused(self, kind: str, run_id: str, state: str, /, **more: Any) -> str:
        """The message with which a state is refused."""
        given = {f"{kind}_id": run_id, "state": self.state(state, **more)}
        return await self.refusal(f"set_{kind}_states", "states { id status message }", states=[given])

    def state(self, name: str, /, **more: Any) -> dict[str, Any]:
        """A state as its client describes it."""
        result = {"type": "Result", "location": "/results/1", **VERSION}
        return {"type": name, "message": f"{name}!", "context": {"tags": []}, "cached_inputs": {}, "_result": result} | more
