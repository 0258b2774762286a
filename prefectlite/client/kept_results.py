"""Large results of runs that are executed elsewhere: taken and given back in pieces, to and from who executes the run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from prefectlite.errors import BadRequest, Forbidden, SerializationError
from prefectlite.orchestrator.calls import ResultOffer
from prefectlite.records import ResultRecord
from prefectlite.repository import runs
from prefectlite.repository.database import Database
from prefectlite.results.pieces import Outgoing
from prefectlite.results.seal import DIGEST_BYTES, ENCODINGS


class PiecewiseStore(Protocol):
    """A result store that takes and gives results in pieces."""

    async def take(self, encoding: str, digest: bytes, pieces: AsyncIterator[bytes]) -> ResultRecord:
        """What the record keeps of a result that comes in pieces, and has this digest."""
        ...

    async def give(self, result: ResultRecord) -> Outgoing:
        """The encoded value. Raises SerializationError if it cannot be had."""
        ...


class KeptResults:
    """The result store of this process, for executors in others. No result may have more than `most` bytes."""

    def __init__(self, database: Database, store: PiecewiseStore | None, most: int) -> None:
        self._database, self._store, self.most = database, store, most

    async def has_place(self, offer: ResultOffer) -> bool:
        """Whether there is a store here to put a result into.

        Raises BadRequest if the result is too large, Forbidden if who offers it does not execute that run.
        """
        if offer.size > self.most:
            raise BadRequest(
                f"This result has {offer.size:,} bytes, and the server takes {self.most:,} at the most (max_result_bytes"
                " there)"
            )
        await self._check(offer)
        return self._store is not None

    async def take(self, offer: ResultOffer, encoding: str, digest: bytes, pieces: AsyncIterator[bytes]) -> ResultRecord:
        """What the record keeps of a result, which is safe here now. Raises as `has_place`, and BadRequest."""
        if not await self.has_place(offer) or self._store is None:
            raise BadRequest("This server has no place for results outside its database: set result_store_url there")
        if encoding not in ENCODINGS or len(digest) != DIGEST_BYTES:
            raise BadRequest("A result comes with its encoding, and its SHA-256 in hexadecimal digits")
        return await self._store.take(encoding, digest, _no_more(pieces, offer.size))

    async def give(self, offer: ResultOffer, result: ResultRecord) -> Outgoing:
        """The encoded value of a result that was put here. Raises SerializationError, saying why, if it cannot be had."""
        await self._check(offer)
        if self._store is None:
            raise SerializationError(
                "it lies in a result store, and the server has none now: set result_store_url as it was"
            )
        return await self._store.give(result)

    async def _check(self, offer: ResultOffer) -> None:
        run = await runs.flow_run(self._database, offer.flow_run_id)
        if run.owner != offer.executor_id or run.lease_epoch != offer.lease or run.is_finished:
            raise Forbidden(f"Another process executes flow run {offer.flow_run_id} now, or none")


async def _no_more(pieces: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """`pieces`, as long as they are not more bytes than was said. Raises BadRequest."""
    async for piece in pieces:
        size -= len(piece)
        if size < 0:
            raise BadRequest("This result is larger than was said")
        yield piece
