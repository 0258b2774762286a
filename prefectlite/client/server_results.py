"""The result store of a server, for executors on other machines: large results travel there, and back, in pieces."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from prefectlite.client.http import Client
from prefectlite.errors import ApiError, SerializationError
from prefectlite.orchestrator.calls import KEEPS_RESULT, Ask, ResultOffer
from prefectlite.orchestrator.persistence import read_at_last
from prefectlite.records import ELSEWHERE, ResultRecord
from prefectlite.results import codec
from prefectlite.results.pieces import PIECE, digest_of

#: Larger results than this do not fit into a message. A server without a result store cannot have them.
MOST_IN_A_MESSAGE = 4 * 1024 * 1024
_DIGEST_BYTES = hashlib.sha256().digest_size


class ServerResults:
    """A ResultStore at the server that `connected()` talks to each time, for the executor `executor_id` of it.

    While the server is away, what is put and read waits. Small things go by `ask`.
    """

    def __init__(self, ask: Ask, connected: Callable[[], Client], executor_id: str, run: tuple[str, int] = ("", 0)) -> None:
        self._ask, self._connected, self._executor_id, self._run = ask, connected, executor_id, run

    def of_run(self, flow_run_id: str, lease: int) -> ServerResults:
        """The store as the execution of this run, with this lease, may use it."""
        return ServerResults(self._ask, self._connected, self._executor_id, (flow_run_id, lease))

    async def put(self, result: ResultRecord) -> ResultRecord:
        """What the record is to keep of `result`, which is safe at the server now.

        That is `result` itself where the server has no store and it fits into a message. Raises BadRequest if the server
        takes no results of this size, ApiError if it has no store for them.
        """
        assert result.data is not None
        data, offer = result.data, self._offer(len(result.data))
        if not await read_at_last(lambda: self._ask(KEEPS_RESULT, offer), "results"):
            if len(data) <= MOST_IN_A_MESSAGE:
                return result
            raise ApiError("the server has no place for results of more than 4 MB outside its database")
        digest = await asyncio.to_thread(digest_of, result.encoding, data)

        async def put() -> bytes:
            place = self._place(offer, digest, result.encoding)
            return await self._connected().put(place, _pieces(data), len(data))

        return msgspec.json.decode(await read_at_last(put, "results"), type=ResultRecord)

    async def value(self, result: ResultRecord) -> Any:
        """The value. Raises SerializationError, saying why, if the server does not give it, or gives another one."""
        name = result.data or b""
        encoding = result.encoding.removesuffix(ELSEWHERE)

        async def get() -> bytes:
            content, digest = io.BytesIO(), hashlib.sha256(f"{encoding}\n".encode())

            def add(piece: bytes) -> None:
                digest.update(piece)
                content.write(piece)

            await self._connected().get(self._place(self._offer(0), name, encoding), add)
            if digest.digest() != name[:_DIGEST_BYTES]:
                raise SerializationError("it has been altered or damaged since it was written")
            return content.getvalue()

        try:
            data = await read_at_last(get, "results")
        except ApiError as error:
            raise SerializationError(f"the server does not give it: {error}") from error
        return await asyncio.to_thread(codec.decode, ResultRecord(encoding, data))

    def _offer(self, size: int) -> ResultOffer:
        run_id, lease = self._run
        return ResultOffer(self._executor_id, run_id, lease, size)

    def _place(self, offer: ResultOffer, name: bytes, encoding: str) -> str:
        where = f"executor_id={offer.executor_id}&flow_run_id={offer.flow_run_id}&lease={offer.lease}&encoding={encoding}"
        return f"/api/results/{name.hex()}?{where}"


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), PIECE):
        yield data[begin : begin + PIECE]
