"""Large results, to and from executors in other processes: as bytes, in pieces, to and from the result store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from prefectlite.api.caller import caller_of
from prefectlite.api.context import remit_of
from prefectlite.api.requests import failure
from prefectlite.errors import BadRequest, Forbidden, NotFound, PrefectliteError, StoreError
from prefectlite.orchestrator.calls import ResultOffer
from prefectlite.records import ELSEWHERE, ResultRecord
from prefectlite.roles import RUNS

if TYPE_CHECKING:
    from prefectlite.session import Session

_BYTES = "application/octet-stream"
#: What users made is nothing that a browser shows, or runs.
_HEADERS = {
    "cache-control": "no-store",
    "content-disposition": "attachment",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}
_STATUSES: dict[type[PrefectliteError], int] = {Forbidden: 403, NotFound: 404, BadRequest: 400}


class ResultsEndpoint:
    """Answers for one session: what lies at `/api/results/NAME`, for who executes the run that it is of."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def put(self, http: Request) -> Response:
        """Keep the body, whose digest is the name; the answer is what the record is to keep of it, as JSON."""
        return await _answered(self._put, http)

    async def get(self, http: Request) -> Response:
        """The encoded value of the result of this name."""
        return await _answered(self._get, http)

    async def _put(self, http: Request) -> Response:
        if http.headers.get("content-type", "").partition(";")[0].strip().lower() != _BYTES:
            raise BadRequest(f"Send the result as {_BYTES}")
        length = http.headers.get("content-length", "")
        if not length.isdecimal():
            raise BadRequest("Say how long the result is: content-length")
        offer = await self._offer(http, int(length[:20]))
        encoding, name = http.query_params.get("encoding", ""), _name(http)
        kept = await self._session.kept_results.take(offer, encoding, name, http.stream())
        return Response(msgspec.json.encode(kept), media_type="application/json", headers={"cache-control": "no-store"})

    async def _get(self, http: Request) -> Response:
        result = ResultRecord(http.query_params.get("encoding", "") + ELSEWHERE, _name(http))
        outgoing = await self._session.kept_results.give(await self._offer(http, 0), result)
        headers = {"content-length": str(outgoing.size), **_HEADERS}
        return StreamingResponse(outgoing.pieces(), media_type=_BYTES, headers=headers)

    async def _offer(self, http: Request, size: int) -> ResultOffer:
        given, caller = http.query_params, caller_of(http)
        if caller.role not in RUNS:
            raise Forbidden(f"The role {caller.role} may not have the results of runs")
        lease = given.get("lease", "")
        if not lease.isdecimal():
            raise BadRequest("lease: a number is needed")
        offer = ResultOffer(given.get("executor_id", ""), given.get("flow_run_id", ""), int(lease[:15]), size)
        if (remit := remit_of(self._session.database, caller)) is not None:
            await remit.check_offer(offer)
        return offer


async def _answered(work: Callable[[Request], Awaitable[Response]], http: Request) -> Response:
    try:
        return await work(http)
    except ClientDisconnect:
        return Response(status_code=400)
    except StoreError:
        return _failure("The database cannot be used at the moment", "API_ERROR", 503)
    except OSError as error:  # a full disk: what lies where is nobody's business
        return _failure(f"The server cannot keep this result: {error.strerror}", PrefectliteError.code, 507)
    except PrefectliteError as error:
        status = next((number for kind, number in _STATUSES.items() if isinstance(error, kind)), 422)
        return _failure(str(error), error.code, status)


def _failure(message: str, code: str, status: int) -> Response:
    headers = {"cache-control": "no-store", "connection": "close"}  # what is left of a body is not read
    return Response(failure(message, code, status).body, status, headers, "application/json")


def _name(http: Request) -> bytes:
    try:
        return bytes.fromhex(http.path_params["name"])
    except ValueError:
        raise BadRequest("The name of a result consists of hexadecimal digits") from None
