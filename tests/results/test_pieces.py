"""Results in pieces: the same as whole ones, and never in memory as a whole."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from prefectlite.errors import BadRequest, SerializationError
from prefectlite.records import ResultRecord
from prefectlite.results import codec
from prefectlite.results.files import FileResultStore
from prefectlite.results.pieces import PIECE, digest_of
from prefectlite.results.remote import RemoteResultStore
from prefectlite.results.seal import Seal

pytestmark = pytest.mark.asyncio
Stores = Callable[[], FileResultStore | RemoteResultStore]


@pytest.fixture(params=["files", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileResultStore | RemoteResultStore:
    seal = Seal(tmp_path / "key")
    if request.param == "files":
        return FileResultStore(tmp_path / "there", seal)
    return RemoteResultStore(f"local://{tmp_path}/there", seal)


async def in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


def files(directory: Path) -> list[Path]:
    return [path for path in (directory / "there").rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [1_000, PIECE, 10_000_000])
@pytest.mark.parametrize("value", ["é" * 300_000, {"a": [1] * 50_000}, b""])
async def test_the_way_does_not_matter(store: FileResultStore | RemoteResultStore, value: object, size: int) -> None:
    result = codec.encode(value, 10_000_000)
    assert result.data is not None
    digest = digest_of(result.encoding, result.data)
    taken = await store.take(result.encoding, digest, in_pieces(result.data, size))
    assert taken == await store.put(result)
    assert await store.value(taken) == value
    outgoing = await store.give(taken)
    given = b"".join([piece async for piece in outgoing.pieces()])
    assert given == result.data
    assert outgoing.size == len(given)


async def test_nothing_is_left_of_what_is_not_whole(store: FileResultStore | RemoteResultStore, tmp_path: Path) -> None:
    digest = digest_of("msgpack", b"whole")

    async def broken() -> AsyncIterator[bytes]:
        yield b"who"
        raise ConnectionError("the line was cut")

    with pytest.raises(BadRequest, match="not what its digest says"):
        await store.take("msgpack", digest, in_pieces(b"other", 2))
    with pytest.raises(ConnectionError):
        await store.take("msgpack", digest, broken())
    stuck = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield b"x" * PIECE
        stuck.set()
        await asyncio.Event().wait()

    taking = asyncio.create_task(store.take("msgpack", digest, waiting()))
    await stuck.wait()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert files(tmp_path) == []
    with pytest.raises(SerializationError):
        await store.give(ResultRecord("msgpack@file", digest))


async def test_no_more_than_a_few_pieces_are_in_memory(store: FileResultStore | RemoteResultStore) -> None:
    number, piece = 80, b"p" * PIECE
    digest = digest_of("msgpack", piece * number)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(number):
            yield piece

    tracemalloc.start()
    try:
        taken = await store.take("msgpack", digest, pieces())
        size = 0
        async for one in (await store.give(taken)).pieces():
            size += len(one)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == number * PIECE
    assert most < 10 * PIECE
