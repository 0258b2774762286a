"""Large results in runs: where they are when, and what is done when they are not."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from prefectlite import Flow, Task, context, signals, task
from prefectlite.engine.host import Host
from prefectlite.engine.requests import RunOptions
from prefectlite.errors import SettingsError
from prefectlite.repository import runs
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings
from prefectlite.states import State
from tests.engine.conftest import Made

pytestmark = pytest.mark.asyncio
LARGE = "a" * 200_000
CANNOT = "its result stays in memory and is computed again on resume, because it cannot be written"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where large results of the database `kept.sqlite` lie."""
    return tmp_path / "kept.sqlite.results"


@pytest.fixture
def kept(tmp_path: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path / 'kept.sqlite'}")


def files_in(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file())


async def run(session: Session, flow: Flow, **context: Any) -> State:
    row, version = await session.create(flow, {}, context=context)
    return await session.execute(flow, version, row)


async def encodings(session: Session) -> list[str]:
    rows = await session.database.read(
        "SELECT x.encoding FROM result x JOIN task_run r ON r.id = x.task_run_id ORDER BY r.end_time"
    )
    return [row[0] for row in rows]


async def taken_up(session: Session, flow: Flow, interrupting: asyncio.Event, before: Callable[[], Any]) -> State:
    """How a run ends that is interrupted when `interrupting` is set, after which `before` is called and it is taken up."""
    row, version = await session.create(flow, {})
    hosts = [Host(f"process {number}", session._surroundings()) for number in range(2)]
    running = asyncio.ensure_future(
        hosts[0].execute(flow, version.task_ids, row, {}, {}, RunOptions(), takeover_from=session.owner.id)
    )
    await interrupting.wait()
    hosts[0].interrupt()
    await asyncio.wait([running])
    before()
    again = await runs.flow_run(session.database, row.id)
    final = await hosts[1].execute(flow, version.task_ids, again, {}, {}, RunOptions(), takeover_from="process 0")
    for host in hosts:
        host.close()
    return final


@pytest.mark.parametrize("value", [LARGE, {"a": LARGE}], ids=["msgpack", "cloudpickle"])
async def test_it_is_in_its_file_before_anything_goes_on(made: Made, kept: Settings, place: Path, value: Any) -> None:
    found: list[int] = []
    with Flow("f") as flow:
        large = made(lambda: value, name="large")()
        small = made(lambda x: found.append(len(files_in(place))) or len(x), name="small")(large)
    async with open_session(kept) as session:
        final = await run(session, flow)
        assert (final.result[large].result, final.result[small].result) == (value, len(value))
        assert found == [1]
        assert await encodings(session) == [f"{'msgpack' if value is LARGE else 'cloudpickle'}@file", "msgpack"]
    assert sum(path.stat().st_size for path in place.parent.glob("kept.sqlite*") if path.is_file()) < 1_500_000


async def test_equal_results_of_a_thousand_children_are_one_file(kept: Settings, place: Path) -> None:
    with Flow("f") as flow:
        task(lambda number: LARGE, name="t").map(list(range(1000)))
    async with open_session(kept) as session:
        assert (await run(session, flow)).is_successful()
    assert len(files_in(place)) == 1


@pytest.mark.parametrize("most", [0, 10, 1000])
async def test_the_size_is_a_setting(made: Made, tmp_path: Path, place: Path, most: int) -> None:
    values = [None, 1, "a" * 9, "a" * 100, ["a" * 100] * 20, {"a": 1}]
    with Flow("f") as flow:
        tasks = [made(lambda value=value: value, name=f"t{n}")() for n, value in enumerate(values)]
    async with open_session(
        Settings(database_url=f"sqlite:///{tmp_path / 'kept.sqlite'}", inline_result_bytes=most)
    ) as session:
        final = await run(session, flow)
        sizes = await session.database.read("SELECT encoding, length(data) FROM result")
    assert [final.result[one].result for one in tasks] == values
    assert all(encoding.endswith("@file") or size <= most for encoding, size in sizes)
    assert bool(most) == any(not encoding.endswith("@file") for encoding, _ in sizes)


@pytest.mark.parametrize("harm", ["none", "gone", "altered", "all gone"])
async def test_resumed(made: Made, kept: Settings, place: Path, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    ran: list[str] = []
    reached = asyncio.Event()

    async def hold(x: str, y: str) -> int:
        ran.append("hold")
        if not reached.is_set():
            reached.set()
            await asyncio.Event().wait()
        return len(x) + len(y)

    with Flow("f") as flow:
        one = made(lambda: ran.append("one") or LARGE, name="one")()
        other = made(lambda: ran.append("other") or LARGE * 2, name="other")()
        last = task(hold)(one, other)

    def do_harm() -> None:
        assert sorted(ran) == ["hold", "one", "other"]
        ran.clear()
        larger = max(files_in(place), key=lambda path: path.stat().st_size)
        if harm == "gone":
            larger.unlink()
        elif harm == "altered":
            larger.write_bytes(larger.read_bytes()[:-1] + b"b")
        elif harm == "all gone":
            shutil.rmtree(place)

    async with open_session(kept) as session:
        final = await taken_up(session, flow, reached, do_harm)
    assert final.result[last].result == 600_000
    again = {"none": [], "gone": ["other"], "altered": ["other"]}.get(harm, ["one", "other"])
    assert sorted(ran) == sorted([*again, "hold"])
    warnings = [
        record.getMessage() for record in caplog.records if "its recorded result cannot be used" in record.getMessage()
    ]
    assert sorted(line.split("'")[1] for line in warnings) == again
    assert all(line.endswith(". The task runs again") for line in warnings)
    assert len(files_in(place)) == 2, "and what was lost is there again"


async def test_a_large_error_that_is_lost_is_still_an_error(
    made: Made, kept: Settings, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    reached = asyncio.Event()

    def fail() -> None:
        ran.append("fail")
        raise ValueError(LARGE)

    async def hold() -> None:
        ran.append("hold")
        if not reached.is_set():
            reached.set()
            await asyncio.Event().wait()

    with Flow("f") as flow:
        failing = made(fail, name="failing")()
        task(hold, trigger=lambda upstream: True)(upstream_tasks=[failing])
    async with open_session(kept) as session:
        final = await taken_up(session, flow, reached, lambda: shutil.rmtree(place))
    assert final.result[failing].is_failed()
    assert ran == ["fail", "hold", "hold"]
    assert "its recorded result cannot be used" in caplog.text
    assert "runs again" not in caplog.text


@pytest.mark.parametrize("lost", [False, True])
async def test_a_loop_goes_on_from_a_large_round_or_from_the_beginning(kept: Settings, place: Path, lost: bool) -> None:
    rounds: list[int] = []
    reached = asyncio.Event()

    async def grow() -> int:
        rounds.append(context.get("task_loop_count", 1))
        so_far = context.get("task_loop_result") or ""
        if rounds[-1] < 3:
            raise signals.LOOP(result=so_far + LARGE)
        if not reached.is_set():
            await session.create(flow, {})  # that this task is running is committed with it
            reached.set()
            await asyncio.Event().wait()
        return len(so_far)

    with Flow("f") as flow:
        only = task(grow)()
    async with open_session(kept) as session:
        final = await taken_up(session, flow, reached, lambda: shutil.rmtree(place) if lost else None)
    assert final.result[only].result == 400_000
    assert rounds == ([1, 2, 3, 1, 2, 3] if lost else [1, 2, 3, 3])


async def test_what_was_cached_is_taken_or_computed_again(
    made: Made, kept: Settings, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[int] = []
    with Flow("f") as flow:
        only = made(lambda: ran.append(1) or LARGE, cache_for=timedelta(hours=1))()
    async with open_session(kept) as session:
        for expected in (1, 1):
            assert (await run(session, flow)).result[only].result == LARGE
            assert len(ran) == expected
        shutil.rmtree(place)
        assert (await run(session, flow)).result[only].result == LARGE
        assert len(ran) == 2
    assert "Task 't': a cached result cannot be used: its file" in caplog.text


async def test_what_cannot_be_written_stays_in_memory(
    made: Made, kept: Settings, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place.write_text("a file in the place of the directory")
    with Flow("f") as flow:
        large = made(lambda: LARGE, name="large")()
        after = made(lambda x: len(x), name="small")(large)
    async with open_session(kept) as session:
        final = await run(session, flow)
        assert (final.result[large].result, final.result[after].result) == (LARGE, 200_000)
        assert await encodings(session) == ["absent", "msgpack"]
    [warning] = [record for record in caplog.records if CANNOT in record.getMessage()]
    assert "Task 'large'" in warning.getMessage()
    assert "make room or see to the place for results, or set result_store_url" in warning.getMessage()


async def test_it_stays_inline_where_there_is_no_place_for_files(session: Session, made: Made, tmp_path: Path) -> None:
    with Flow("f") as flow:
        only = made(lambda: LARGE)()
    assert (await run(session, flow)).result[only].result == LARGE
    on_disk = session.results is not None
    assert await encodings(session) == ["msgpack@file" if on_disk else "msgpack"]
    assert on_disk == (tmp_path / "matrix.sqlite.results").exists()


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_a_store_of_its_own(made: Made, database_url: str, tmp_path: Path, kind: str) -> None:
    url = f"memory://{tmp_path.name}" if kind == "memory" else f"file://{tmp_path / 'shared'}"
    ran: list[int] = []
    with Flow("f") as flow:
        only = made(lambda: ran.append(1) or LARGE, cache_for=timedelta(hours=1))()
    async with open_session(Settings(database_url=database_url, result_store_url=url)) as session:
        for _ in range(2):
            assert (await run(session, flow)).result[only].result == LARGE
        assert await encodings(session) == ["msgpack@file"] * 2
        assert len(ran) == 1
    assert not (tmp_path / "matrix.sqlite.results").exists()
    assert len(files_in(tmp_path / "shared")) == (1 if kind == "file" else 0)


async def test_a_url_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"result_store_url = '/tmp/x' is no URL: write s3://"):
        async with open_session(Settings(database_url="sqlite://:memory:", result_store_url="/tmp/x")):
            pass


async def test_a_kind_of_store_that_is_not_installed(made: Made, kept: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with Flow("f") as flow:
        only: Task = made(lambda: LARGE)()
    async with open_session(Settings(database_url=kept.database_url, result_store_url="gs://bucket/folder")) as session:
        assert (await run(session, flow)).result[only].result == LARGE
        assert await encodings(session) == ["absent"]
    assert CANNOT in caplog.text
    assert "pip install 'prefectlite[fsspec]'" in caplog.text
