"""Large results in stores that fsspec reaches, here one in memory."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from prefectlite.errors import SerializationError
from prefectlite.records import ResultRecord
from prefectlite.results import codec
from prefectlite.results.garbage import collect_garbage
from prefectlite.results.remote import RemoteResultStore
from prefectlite.results.seal import Seal
from tests.results.conftest import Record

pytestmark = pytest.mark.asyncio
Stores = Callable[[], RemoteResultStore]
LARGE = "a" * 100_000


@pytest.fixture
def url() -> str:
    """A place of the test's own."""
    return f"memory://{uuid.uuid4()}/results"


@pytest.fixture
def store_of(url: str, tmp_path: Path) -> Stores:
    """Makes stores over one place, each as another process has it."""
    return lambda: RemoteResultStore(url, Seal(tmp_path / "shared.key"))


async def put(store: RemoteResultStore, value: Any) -> ResultRecord:
    return await store.put(codec.encode(value, 10**9))


def files_at(url: str) -> list[str]:
    system, path = fsspec.core.url_to_fs(url)
    return sorted(system.find(path))


def grow_old(url: str) -> None:
    system, _ = fsspec.core.url_to_fs(url)
    for path in files_at(url):
        system.store[path].modified = datetime.now(UTC) - timedelta(hours=2)


async def test_what_is_put_is_there_for_every_process(store_of: Stores, url: str) -> None:
    for value in (LARGE, {"a": (1, {2})}):
        kept = await put(store_of(), value)
        assert kept.is_elsewhere
        assert await store_of().value(kept) == value
    assert len(files_at(url)) == 2


async def test_equal_results_of_a_process_are_one_file(store_of: Stores, url: str) -> None:
    store = store_of()
    assert await put(store, LARGE) == await put(store, LARGE)
    assert len(files_at(url)) == 1
    await put(store_of(), LARGE)
    assert len(files_at(url)) == 2, "another process has its own, which nobody else can want again"


async def test_what_is_gone_altered_or_somebody_elses_is_refused(store_of: Stores, url: str, tmp_path: Path) -> None:
    kept = await put(store_of(), LARGE)
    system, _ = fsspec.core.url_to_fs(url)
    [path] = files_at(url)
    content = system.cat_file(path)
    system.pipe_file(path, content[:-1])
    with pytest.raises(SerializationError, match="has been altered or damaged"):
        await store_of().value(kept)
    system.rm_file(path)
    with pytest.raises(SerializationError, match="is gone"):
        await store_of().value(kept)
    theirs = RemoteResultStore(url, Seal(tmp_path / "their.key"))
    planted = await theirs.put(ResultRecord("cloudpickle", pickle.dumps("theirs")))
    [path] = files_at(url)
    ours = store_of()
    assert planted.data is not None
    system.pipe_file(ours._path(planted.data)[1], system.cat_file(path))
    with pytest.raises(SerializationError, match="was not written with the key in"):
        await ours.value(planted)


@pytest.mark.parametrize("name", [b"", b"..", b"../../../etc/passwd/../../../../", b"/" * 40, b"../" * 13 + b"a", bytes(40)])
async def test_no_name_leads_out_of_the_folder(store_of: Stores, name: bytes) -> None:
    store = store_of()
    path = store._path(name)[1]
    assert path.startswith(store._root()[1] + "/")
    assert ".." not in path
    with pytest.raises(SerializationError, match=r"is gone|does not lie under result_store_url"):
        await store.value(ResultRecord("cloudpickle@file", name))


async def test_what_is_named_stays_and_what_is_not_is_removed(record: Record, store_of: Stores, url: str) -> None:
    named, unnamed = await put(store_of(), "named"), await put(store_of(), "not named")
    await record.name(named)
    stranger = f"{store_of()._root()[1]}/zz/notes.txt"
    fsspec.core.url_to_fs(url)[0].pipe_file(stranger, b"x")
    assert await collect_garbage(record.database, store_of()) == 0, "they are young"
    grow_old(url)
    writer = store_of()
    recent = await put(writer, "just written")
    grow_old(url)
    assert await collect_garbage(record.database, writer) == 1
    assert await store_of().value(named) == "named"
    assert await store_of().value(recent) == "just written"
    assert stranger in files_at(url)
    with pytest.raises(SerializationError, match="is gone"):
        await store_of().value(unnamed)


async def test_databases_that_share_a_place_leave_each_others_files_alone(
    record: Record, store_of: Stores, url: str, tmp_path: Path
) -> None:
    kept = await put(store_of(), LARGE)
    grow_old(url)
    assert await collect_garbage(record.database, RemoteResultStore(url, Seal(tmp_path / "other.key"))) == 0
    assert await store_of().value(kept) == LARGE


async def test_nothing_is_there_yet(record: Record, store_of: Stores) -> None:
    assert await collect_garbage(record.database, store_of()) == 0
