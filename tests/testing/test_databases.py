from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from prefectlite import Flow, Runtime, Task, context, task, testing
from prefectlite.errors import SettingsError
from prefectlite.settings import current_settings, load_settings


def counting(calls: list[int]) -> tuple[Flow, Task]:
    @task(cache_for=timedelta(hours=1))
    def count() -> int:
        calls.append(1)
        return len(calls)

    with Flow("counting") as flow:
        counted = count()
    return flow, counted


def test_a_flow_runs_in_memory_and_leaves_no_file(tmp_path: Path) -> None:
    flow, counted = counting([])
    with testing.memory_database():
        assert flow.run()[counted] == 1
    assert not list(tmp_path.glob("test.sqlite*"))


def test_runs_one_after_another_share_the_database() -> None:
    calls: list[int] = []
    flow, counted = counting(calls)
    with testing.memory_database():
        assert [flow.run()[counted] for _ in range(3)] == [1, 1, 1]
    with testing.memory_database():
        assert flow.run()[counted] == 2  # another block, another database
    assert len(calls) == 2


@pytest.mark.asyncio
async def test_async_runs_find_it_too() -> None:
    calls: list[int] = []
    flow, counted = counting(calls)
    with testing.memory_database() as url:
        assert (await flow.run())[counted] == 1
        assert (await flow.run())[counted] == 1
        async with Runtime() as runtime:
            assert runtime.settings.database_url == url
            assert (await flow.run())[counted] == 1


def test_it_holds_on_other_threads() -> None:
    found: list[str] = []
    with testing.memory_database() as url:
        thread = threading.Thread(target=lambda: found.append(load_settings().database_url))
        thread.start()
        thread.join()
    assert found == [url]
    assert load_settings().database_url == os.environ["PREFECTLITE_DATABASE_URL"]


def test_settings_hold_in_the_block() -> None:
    attempts: list[int] = []

    @task
    def fail() -> None:
        attempts.append(context.config.max_threads)
        raise ValueError

    with testing.memory_database(max_threads=3):
        with Flow("settings") as flow:
            fail()
        assert flow.run().is_failed()
        assert current_settings().max_threads == 3
    assert attempts == [3]
    assert current_settings().max_threads == 64


def test_blocks_nest() -> None:
    with testing.memory_database(max_threads=3) as outer:
        with testing.memory_database(max_coroutines=5) as inner:
            settings = load_settings()
            assert (settings.database_url, settings.max_threads, settings.max_coroutines) == (inner, 3, 5)
        assert load_settings().database_url == outer


def test_a_setting_that_is_none_is_told() -> None:
    with pytest.raises(SettingsError, match="unknown setting 'max_thread'"), testing.memory_database(max_thread=3):
        pass
    with pytest.raises(SettingsError, match="max_threads = 0"), testing.memory_database(max_threads=0):
        pass


def test_an_option_of_a_command_wins_over_the_block() -> None:
    with testing.memory_database():
        assert load_settings(database_url="sqlite:///other.sqlite").database_url == "sqlite:///other.sqlite"
        assert load_settings({}).database_url == ""


def test_the_fixture(prefectlite_database: str) -> None:
    assert load_settings().database_url == prefectlite_database
    flow, counted = counting([])
    assert flow.run()[counted] == 1
    assert flow.run()[counted] == 1
