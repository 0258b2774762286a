"""Large results in files: there as a whole or not at all, shared where they are equal, refused where they are not ours."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefectlite.errors import SerializationError
from prefectlite.records import ResultRecord
from prefectlite.results import codec
from prefectlite.results.files import FileResultStore
from prefectlite.results.seal import Seal

VALUES = ["a" * 100_000, b"\x00\xff" * 50_000, list(range(30_000)), {"a": (1, {2})}, Path("x")]


def files_of(store: FileResultStore) -> list[Path]:
    return sorted(path for path in Path(store.place).rglob("*") if path.is_file())


async def put(store: FileResultStore, value: Any) -> ResultRecord:
    return await store.put(codec.encode(value, 10**9))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.asyncio
async def test_what_is_put_is_there_for_every_process(store_of: Callable[[], FileResultStore], value: Any) -> None:
    kept = await put(store_of(), value)
    assert kept.is_elsewhere
    assert await store_of().value(kept) == value


@pytest.mark.asyncio
async def test_a_file_is_named_after_its_content_and_only_the_owner_may_read_it(store: FileResultStore) -> None:
    kept = await put(store, "a" * 100_000)
    assert kept.data is not None
    [file] = files_of(store)
    assert file.relative_to(store.place).as_posix() == f"{kept.data.hex()[:2]}/{kept.data.hex()[2:]}"
    if sys.platform != "win32":
        assert file.stat().st_mode & 0o777 == 0o600
        assert Path(store.place).stat().st_mode & 0o777 == 0o700
        assert Path(store.place + ".key").stat().st_mode & 0o777 == 0o600


@pytest.mark.asyncio
async def test_equal_results_are_one_file(store_of: Callable[[], FileResultStore]) -> None:
    first, second = store_of(), store_of()
    kept = await put(first, "a" * 100_000)
    [file] = files_of(first)
    os.utime(file, (0, 0))
    assert await put(second, "a" * 100_000) == kept
    assert files_of(first) == [file]
    assert file.stat().st_mtime > 1_000_000, "it counts as new"
    await put(second, "b" * 100_000)
    assert len(files_of(first)) == 2


@pytest.mark.asyncio
async def test_a_damaged_file_is_mended_by_who_has_the_same_result(store: FileResultStore) -> None:
    kept = await put(store, "a" * 100_000)
    [file] = files_of(store)
    for damage in (b"", b"x" * file.stat().st_size, file.read_bytes()[:-1]):
        file.write_bytes(damage)
        assert await put(store, "a" * 100_000) == kept
        assert await store.value(kept) == "a" * 100_000


class Planted:
    executed = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Planted, "executed", True)


async def refused(store: FileResultStore, kept: ResultRecord) -> str:
    with pytest.raises(SerializationError) as caught:
        await store.value(kept)
    assert not Planted.executed
    return str(caught.value)


@pytest.mark.asyncio
async def test_a_missing_file_is_said_to_be_gone(store: FileResultStore) -> None:
    kept = await put(store, "a" * 100_000)
    [file] = files_of(store)
    file.unlink()
    assert await refused(store, kept) == f"its file {file} is gone"


@pytest.mark.asyncio
async def test_an_altered_file_is_refused(store: FileResultStore) -> None:
    kept = await put(store, "a" * 100_000)
    [file] = files_of(store)
    content = file.read_bytes()
    for altered in (b"", content[:-1], content + b"b", content[:-1] + b"b", pickle.dumps(Planted())):
        file.write_bytes(altered)
        assert "has been altered or damaged" in await refused(store, kept)
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert "was not written with the key in" in await refused(store, kept)


@pytest.mark.asyncio
async def test_a_file_of_somebody_else_is_refused(store: FileResultStore, tmp_path: Path) -> None:
    # Somebody who can write to the directory and to the database, but has not the key.
    theirs = FileResultStore(Path(store.place), Seal(tmp_path / "their.key"))
    planted = await theirs.put(ResultRecord("cloudpickle", pickle.dumps(Planted())))
    assert "was not written with the key in" in await refused(store, planted)


@pytest.mark.asyncio
async def test_bytes_of_a_users_are_not_taken_for_a_pickle(store: FileResultStore) -> None:
    kept = await put(store, pickle.dumps(Planted()))
    assert "is not what the record says it is" in await refused(store, ResultRecord("cloudpickle@file", kept.data))
    assert "is not what the record says it is" in await refused(store, ResultRecord("json@file", kept.data))


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.asyncio
async def test_neither_links_nor_what_is_no_file_is_read(store: FileResultStore, tmp_path: Path) -> None:
    kept = await put(store, "a" * 100_000)
    [file] = files_of(store)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert "its file cannot be read" in await refused(store, kept)
    file.unlink()
    os.mkfifo(file)
    assert "its file cannot be read" in await refused(store, kept)
    file.unlink()
    file.mkdir()
    assert "its file cannot be read" in await refused(store, kept)


CROOKED = [
    b"../../etc/passwd",
    b"..",
    b"/etc/passwd",
    b"\x00" * 31,
    b"\x00" * 33,
    b"",
    b"..%2f" * 6 + b"..",
    b"..\\..\\windows\\system32\\config\\",
    b"/" * 32,
    b"../" * 10 + b"ab",
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(name=st.sampled_from(CROOKED) | st.binary(max_size=40) | st.binary(min_size=32, max_size=32))
def test_no_name_leads_out_of_the_directory(store: FileResultStore, name: bytes) -> None:
    assert store._path(name).resolve().is_relative_to(Path(store.place).resolve())
    with pytest.raises(SerializationError, match=r"does not say which file|is gone"):
        store._value(ResultRecord("cloudpickle@file", name))


@pytest.mark.skipif(sys.platform == "win32", reason="it is POSIX that has them")
@pytest.mark.asyncio
async def test_nothing_is_left_of_what_could_not_be_written(store: FileResultStore) -> None:
    import resource

    await put(store, "small")
    before = files_of(store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            await put(store, "a" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_of(store) == before


@pytest.mark.asyncio
async def test_a_key_that_was_cut_short_is_made_anew(store_of: Callable[[], FileResultStore]) -> None:
    key = Path(store_of().place + ".key")
    key.write_bytes(b"short")
    kept = await put(store_of(), "a" * 100_000)
    assert len(key.read_bytes()) == 32
    assert await store_of().value(kept) == "a" * 100_000


@pytest.mark.asyncio
async def test_databases_that_share_a_place_have_folders_of_their_own(tmp_path: Path) -> None:
    one, other = (FileResultStore(tmp_path / "all", Seal(tmp_path / f"{name}.key"), shared=True) for name in "ab")
    kept = await put(one, "a" * 100_000)
    assert "is gone" in await refused(other, kept)
    await put(other, "a" * 100_000)
    assert len(files_of(one)) == 2
    assert [name async for names in other.old(-60) for name in names] == [kept.data], "its own"
