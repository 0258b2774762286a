"""What no result names is removed, what one names or is about to name stays: whoever writes and collects meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from prefectlite.records import ResultRecord
from prefectlite.results import codec
from prefectlite.results.files import FileResultStore
from prefectlite.results.garbage import collect_garbage
from tests.results.conftest import Record

pytestmark = pytest.mark.asyncio
Stores = Callable[[], FileResultStore]


def file_of(store: FileResultStore, kept: ResultRecord) -> Path:
    assert kept.data is not None
    return store._path(kept.data)


async def put(store: FileResultStore, value: Any, *, old: bool = True) -> ResultRecord:
    kept = await store.put(codec.encode(value, 10**9))
    if old:
        grow_old(store, kept)
    return kept


def grow_old(store: FileResultStore, kept: ResultRecord) -> None:
    moment = time.time() - 2 * 3600
    os.utime(file_of(store, kept), (moment, moment))


async def test_what_is_named_stays_and_what_is_not_is_removed(record: Record, store_of: Stores) -> None:
    before = store_of()
    named = [await put(before, f"named {number}") for number in range(3)]
    unnamed = [await put(before, {f"not named {number}"}) for number in range(3)]
    young = await put(before, "young", old=False)
    await record.name(*named)
    collecting = store_of()
    assert await collect_garbage(record.database, collecting) == 3
    assert [file_of(before, kept).exists() for kept in (*named, *unnamed, young)] == [True] * 3 + [False] * 3 + [True]
    assert [await collecting.value(kept) for kept in named] == [f"named {number}" for number in range(3)]
    assert await collect_garbage(record.database, collecting) == 0


async def test_what_this_process_has_just_written_stays_however_old_it_looks(record: Record, store: FileResultStore) -> None:
    kept = await put(store, "written a moment ago, before the clock was set")
    assert await collect_garbage(record.database, store) == 0
    assert file_of(store, kept).exists()


async def test_what_a_process_left_aside_is_put_back(
    record: Record, store_of: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store_of()
    named, unnamed = await put(before, "named"), await put(before, "not named")
    await record.name(named)
    assert named.data is not None
    assert unnamed.data is not None
    aside = await store_of().set_aside([named.data, unnamed.data], 3600)
    assert set(aside) == {named.data, unnamed.data}
    assert not file_of(before, named).exists()
    assert await before.value(named) == "named", "it can be read meanwhile"
    assert await collect_garbage(record.database, store_of()) == 0, "it may be that somebody is at it"
    assert not file_of(before, named).exists()
    monkeypatch.setattr("prefectlite.results.files._ABANDONED", -1)
    assert await collect_garbage(record.database, store_of()) == 0
    assert file_of(before, named).exists()
    grow_old(before, unnamed)
    assert await collect_garbage(record.database, store_of()) == 1
    assert not file_of(before, unnamed).exists()


async def test_what_is_wanted_again_meanwhile_stays(store_of: Stores) -> None:
    before, collecting = store_of(), store_of()
    kept = await put(before, "wanted again")
    assert kept.data is not None
    # Between the look at the record and the file: it is touched, so it is not set aside.
    await put(store_of(), "wanted again", old=False)
    assert await collecting.set_aside([kept.data], 3600) == {}
    # After it was set aside: there is a new one, and the old one goes.
    grow_old(before, kept)
    aside = await collecting.set_aside([kept.data], 3600)
    await put(store_of(), "wanted again", old=False)
    assert await collecting.remove(aside.values()) == 1
    assert await before.value(kept) == "wanted again"
    # After another process has set aside the new one, too.
    grow_old(before, kept)
    aside = await collecting.set_aside([kept.data], 3600)
    await put(store_of(), "wanted again")
    others = await store_of().set_aside([kept.data], 3600)
    await collecting.remove(aside.values())
    await collecting.put_back(others.values())
    assert await before.value(kept) == "wanted again"


async def test_unfinished_files_and_strangers(record: Record, store_of: Stores) -> None:
    before = store_of()
    kept = await put(before, "named")
    await record.name(kept)
    folder = file_of(before, kept).parent
    for name in (".unfinished", "notes.txt", "zz"):
        (folder / name).write_text("x")
        os.utime(folder / name, (0, 0))
    (folder / ".being written").write_text("x")
    assert await collect_garbage(record.database, store_of()) == 0
    assert {path.name for path in folder.iterdir()} == {file_of(before, kept).name, ".being written", "notes.txt", "zz"}


async def test_of_many_files_only_a_few_are_looked_at_at_a_time(
    record: Record, store_of: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefectlite.results.files.BATCH", 7)
    names = [b"\xab" + bytes(30) + bytes([number]) for number in range(50)]
    folder = Path(store_of().place) / "ab"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name.hex()[2:]).touch()
        os.utime(folder / name.hex()[2:], (0, 0))
    await record.name(*(ResultRecord(["msgpack@file", "cloudpickle@file"][name[-1] % 2], name) for name in names[10:]))
    assert [len(names) async for names in store_of().old(3600)] == [7] * 7 + [1]
    assert await collect_garbage(record.database, store_of()) == 10
    assert sorted(folder.iterdir()) == [folder / name.hex()[2:] for name in names[10:]]


@pytest.mark.parametrize("seed", range(3))
async def test_writers_and_collectors_at_once_lose_nothing(record: Record, store_of: Stores, seed: int) -> None:
    """Writers want what is there already, looks old, and is collected by three processes at that very moment."""
    dice = random.Random(seed)
    named: list[tuple[str, ResultRecord]] = []
    wanted: set[bytes] = set()
    done = asyncio.Event()

    class AtThatMoment(FileResultStore):
        async def old(self, seconds: float) -> AsyncIterator[list[bytes]]:
            await asyncio.sleep(dice.uniform(0, 0.001))
            yield list(wanted)

    async def write(number: int) -> None:
        for step in range(25):
            value = f"value {number} {step}"
            there = await put(store_of(), value)  # of a run that has been deleted
            assert there.data is not None
            wanted.add(there.data)
            await asyncio.sleep(dice.uniform(0, 0.003))
            kept = await store_of().put(codec.encode(value, 10**9))
            await asyncio.sleep(dice.uniform(0, 0.002))
            await record.name(kept)
            named.append((value, kept))
            wanted.remove(there.data)

    async def collect() -> int:
        removed = 0
        while not done.is_set():
            store = store_of()
            removed += await collect_garbage(record.database, AtThatMoment(Path(store.place), store._seal))
        return removed

    async with asyncio.TaskGroup() as group:
        collectors = [group.create_task(collect()) for _ in range(3)]
        await asyncio.gather(*(write(number) for number in range(4)))
        done.set()
    assert sum(collector.result() for collector in collectors), "some were removed, and made anew"
    assert [await store_of().value(kept) for _, kept in named] == [value for value, _ in named]
