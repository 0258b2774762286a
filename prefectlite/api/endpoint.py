"""GraphQL over HTTP: POST with JSON, alone or in batches, and GET for queries."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from prefectlite.api.caller import Caller, caller_of
from prefectlite.api.gateway import Gateway
from prefectlite.api.requests import Answer, Request, failure, request_of, requests_of
from prefectlite.errors import BadRequest
from prefectlite.version import __version__

MAX_BODY = 10_000_000


class HttpEndpoint:
    """Answers HTTP requests; whatever happens, with JSON and without a traceback."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def post(self, http: HttpRequest) -> Response:
        """The answer to the operation in the body, or the list of answers to a list of them."""
        if http.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _response(failure("Send the request as application/json", BadRequest.code, 415))
        try:
            body = await _body(http)
            if body is None:
                response = _response(failure(f"The body is larger than {MAX_BODY:,} bytes", BadRequest.code, 413))
                response.headers["connection"] = "close"
                return response
            return _response(await self._answer(requests_of(body), caller_of(http)))
        except BadRequest as error:
            return _response(failure(str(error), error.code, 400))
        except ClientDisconnect:
            return Response(status_code=400)

    async def get(self, http: HttpRequest) -> Response:
        """The answer to the query in the address; mutations are refused with 405."""
        given = http.query_params
        try:
            request = request_of(
                {
                    "query": given.get("query"),
                    "variables": given.get("variables"),
                    "operationName": given.get("operationName"),
                }
            )
            response = _response(await self._answer(request, caller_of(http), read_only=True))
        except BadRequest as error:
            return _response(failure(str(error), error.code, 400))
        if response.status_code == 405:
            response.headers["allow"] = "POST"
        return response

    async def _answer(self, asked: Request | list[Request], caller: Caller, *, read_only: bool = False) -> Answer:
        execution = await self._gateway.execution()
        budget = execution.budget()
        if isinstance(asked, Request):
            return await execution.run(asked, budget, caller, read_only=read_only)
        # In order: a batch may hold mutations.
        answers = [await execution.run(request, budget, caller) for request in asked]
        return Answer(b"[" + b",".join(answer.body for answer in answers) + b"]")


async def _body(http: HttpRequest) -> bytes | None:
    """The body; None, without reading on, once it is too large."""
    length = http.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > MAX_BODY:
        return None
    chunks: list[bytes] = []
    size = 0
    async for chunk in http.stream():
        size += len(chunk)
        if size > MAX_BODY:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _response(answer: Answer) -> Response:
    headers = {"cache-control": "no-store", "x-prefectlite-version": __version__}
    return Response(answer.body, answer.status, media_type="application/json", headers=headers)
