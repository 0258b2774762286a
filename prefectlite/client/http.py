"""The client of a running server: GraphQL over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from prefectlite.client import questions
from prefectlite.client.news import subscription
from prefectlite.client.token_file import token_for
from prefectlite.error_codes import error_named
from prefectlite.errors import ApiError, ServerUnreachable
from prefectlite.orchestrator.calls import LEAVE, Call
from prefectlite.run_configs import RunConfig, run_config_document
from prefectlite.settings import current_settings
from prefectlite.version import __version__

Q = TypeVar("Q")
A = TypeVar("A")
_HEADERS = {"X-PREFECTLITE-VERSION": __version__, "Content-Type": "application/json"}
_CALL = "mutation ($input: executor_call_input!) { executor_call(input: $input) { answer } }"


class Client:
    """Asks a prefectlite server at `url` (such as http://localhost:8080). An async context manager.

    `token` is what it shows to a server that asks for one: without it the setting `api_token`, or, of a server on this
    machine, that of the file `token` in the data directory. One that `executes` runs hears of news before others.

    Every method raises ApiError, naming the server, if it cannot be reached or answers with an error.
    """

    def __init__(self, url: str, timeout: float = 15.0, token: str | None = None, *, executes: bool = False) -> None:
        import httpx  # noqa: PLC0415 - 70 ms that only those pay who talk to a server

        self.url = url.rstrip("/")
        self._errors = httpx.HTTPError
        headers = dict(_HEADERS) | ({"X-PREFECTLITE-EXECUTOR": "1"} if executes else {})
        if shown := token or token_for(self.url, current_settings()):
            headers["Authorization"] = f"Bearer {shown}"
        #: Set when the server has turned out to be of another version, which understands no executor of this one.
        self.mismatched = asyncio.Event()
        self._server_version = __version__
        self._http = httpx.AsyncClient(timeout=timeout, headers=headers)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of the answer."""
        answer = await self._answer(query, variables)
        if errors := answer.get("errors"):
            raise self._refused(errors)
        data: dict[str, Any] = answer["data"]
        return data

    def _refused(self, errors: list[dict[str, Any]]) -> ApiError:
        error = ApiError(f"The server {self.url} refused: " + "; ".join(str(one.get("message")) for one in errors))
        # A command leaves as if the record were its own: it is not that the server could not be reached.
        error.exit_code = error_named(str(errors[0].get("extensions", {}).get("code")), "").exit_code
        return error

    async def ask(self, call: Call[Q, A], question: Q) -> A:
        """The answer of the record behind the server. Raises ServerUnreachable, and the error that the server named."""
        answer = await self._answer(_CALL, {"input": {"call": call.name, "question": question}})
        if self.mismatched.is_set() and call.name != LEAVE.name:
            raise ServerUnreachable(self.mismatch)
        for error in answer.get("errors", ()):
            code = error.get("extensions", {}).get("code", "")
            if code == "API_ERROR":  # what it could not do now
                raise ServerUnreachable(f"The server {self.url} could not answer: {error['message']}")
            raise error_named(code, str(error["message"]))
        found: A = msgspec.convert(answer["data"]["executor_call"]["answer"], call.answer)
        return found

    async def _answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        content = msgspec.json.encode({"query": query, "variables": variables})
        try:
            response = await self._http.post(f"{self.url}/graphql", content=content)
            self._note_version(response.headers.get("x-prefectlite-version"))
            return msgspec.json.decode(response.content, type=dict[str, Any])
        except self._errors as error:
            raise self._unreachable(error) from error
        except msgspec.DecodeError as error:
            raise self._strange(response.status_code) from error

    @property
    def mismatch(self) -> str:
        """What is to be said of a server of another version."""
        return f"The server {self.url} is of version {self._server_version}, and this of {__version__}: install the same one"

    def _note_version(self, version: str | None) -> None:
        self._server_version = version or self._server_version
        if self._server_version == __version__:
            self.mismatched.clear()
        else:
            self.mismatched.set()

    async def put(self, path: str, pieces: AsyncIterator[bytes], size: int) -> bytes:
        """What is answered to `size` bytes that are put at a path of the server."""
        headers = {"content-length": str(size), "content-type": "application/octet-stream"}
        try:
            response = await self._http.put(f"{self.url}{path}", content=pieces, headers=headers)
        except self._errors as error:
            raise self._unreachable(error) from error
        self._check(response.status_code, response.content)
        return response.content

    async def get(self, path: str, take: Callable[[bytes], None]) -> None:
        """Hand what lies at a path of the server to `take`, piece by piece."""
        try:
            async with self._http.stream("GET", f"{self.url}{path}") as response:
                if response.status_code >= 400:
                    self._check(response.status_code, await response.aread())
                async for piece in response.aiter_raw():
                    take(piece)
        except self._errors as error:
            raise self._unreachable(error) from error

    def _check(self, status: int, content: bytes) -> None:
        """Raise the error that an answer names, if it does."""
        if status < 400:
            return
        try:
            error = msgspec.json.decode(content)["errors"][0]
            code, message = str(error["extensions"]["code"]), str(error["message"])
        except (msgspec.DecodeError, LookupError, TypeError):
            raise self._strange(status) from None
        if code == "API_ERROR":
            raise ServerUnreachable(f"The server {self.url} could not answer: {message}")
        raise error_named(code, message)

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        return ServerUnreachable(f"The server {self.url} cannot be reached: {error or type(error).__name__}")

    def _strange(self, status: int) -> ServerUnreachable:
        return ServerUnreachable(f"{self.url} did not answer as a prefectlite server does (HTTP {status})")

    def subscribe(self, query: str, **variables: Any) -> AsyncGenerator[dict[str, Any], None]:
        """The data of each piece of news of a subscription, as it comes. Close it (`contextlib.aclosing`).

        Raises ServerUnreachable when the server cannot be reached any more.
        """
        return subscription(f"{self.url}/graphql", query, variables, dict(self._http.headers))

    async def create_project(self, name: str, description: str | None = None) -> str:
        """The id of the new project."""
        return await self._mutate("create_project", {"name": name, "description": description})

    async def project_named(self, name: str) -> str:
        """The id of the project of this name, which is made if there is none."""
        data = await self.graphql(questions.PROJECT, name=name)
        return data["project"][0]["id"] if data["project"] else await self.create_project(name)

    async def register_flow(
        self, serialized_flow: dict[str, Any], project_id: str, *, schedule_active: bool | None = None
    ) -> str:
        """The id of the flow's version, a new one if it changed."""
        values = {
            "serialized_flow": serialized_flow,
            "project_id": project_id,
            "set_schedule_active": schedule_active,
        }
        return await self._mutate("create_flow", values)

    async def current_version(self, name: str, project_id: str) -> tuple[str, int] | None:
        """(id, number) of the version of a flow that counts in a project; None if the flow is not there."""
        query = (
            "query ($name: String, $project: uuid) { flow(where: {name: {_eq: $name}, project_id: {_eq: $project},"
            " archived: {_eq: false}}, order_by: {version: desc}, limit: 1) { id version } }"
        )
        found = (await self.graphql(query, name=name, project=project_id))["flow"]
        return (str(found[0]["id"]), int(found[0]["version"])) if found else None

    async def create_flow_run(
        self,
        *,
        flow_id: str,
        parameters: dict[str, Any] | None = None,
        run_config: RunConfig | dict[str, Any] | None = None,
        scheduled_start_time: datetime | None = None,
        idempotency_key: str | None = None,
        flow_run_name: str | None = None,
    ) -> str:
        """The id of a new flow run."""
        values = {
            "flow_id": flow_id,
            "parameters": parameters or {},
            "run_config": run_config_document(run_config, "create_flow_run"),
            "scheduled_start_time": scheduled_start_time.isoformat() if scheduled_start_time else None,
            "idempotency_key": idempotency_key,
            "flow_run_name": flow_run_name,
        }
        return await self._mutate("create_flow_run", values)

    async def cancel_flow_run(self, flow_run_id: str) -> str:
        """The name of the state the run is in now."""
        query = "mutation ($input: cancel_flow_run_input!) { cancel_flow_run(input: $input) { state } }"
        data = await self.graphql(query, input={"flow_run_id": flow_run_id})
        return str(data["cancel_flow_run"]["state"])

    async def register_agent(self, name: str, labels: Collection[str], config_id: str | None = None) -> str:
        """The id of an agent of this package, as it is known at the server from now on."""
        values = {"type": "prefectlite", "name": name, "labels": sorted(labels), "agent_config_id": config_id}
        return await self._mutate("register_agent", values)

    async def _mutate(self, name: str, values: dict[str, Any]) -> str:
        query = f"mutation ($input: {name}_input!) {{ {name}(input: $input) {{ id }} }}"
        data = await self.graphql(query, input={key: value for key, value in values.items() if value is not None})
        return str(data[name]["id"])
