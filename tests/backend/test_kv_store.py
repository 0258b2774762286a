"""The key-value store as code uses it: in scripts, in threads, in tasks, and not on an event loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefectlite import Flow, Runtime, backend, hosting, task
from prefectlite.backend import delete_key, get_key_value, list_keys, set_key_value
from prefectlite.client.key_values import LONGEST_KEY
from prefectlite.errors import BadRequest, FlowError, KeyNotFound, NotFound, UnsupportedLoop
from prefectlite.executors import ProcessExecutor
from prefectlite.session import Session
from tests.scenarios.processes import PATIENCE, serving


def test_in_a_script() -> None:
    assert list_keys() == []
    first = set_key_value("b/a", {"count": [1, None, "é"]})
    assert set_key_value("a", 1) != first
    assert set_key_value("b/a", "changed") == first, "the key keeps its id"
    assert get_key_value("b/a") == "changed"
    assert get_key_value("a") == 1
    assert list_keys() == ["a", "b/a"]
    assert delete_key("a") is True
    assert list_keys() == ["b/a"]


def test_what_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"^No value found for key: k$") as missing:
        get_key_value("k")
    assert isinstance(missing.value, NotFound)
    with pytest.raises(ValueError, match=r"^No key k found to delete$"):
        delete_key("k")


@pytest.mark.parametrize("key", ["", " ", "a\x00b", "a\nb", "\ud800", "k" * (LONGEST_KEY + 1)])
def test_what_cannot_be_a_key(key: str) -> None:
    with pytest.raises(BadRequest, match=r"^key: "):
        set_key_value(key, 1)


def test_values_are_json_of_ten_thousand_bytes() -> None:
    set_key_value("most", "x" * 9_998)
    assert len(get_key_value("most")) == 9_998
    with pytest.raises(ValueError, match=r"^Value payload exceedes 10 KB limit\.$"):
        set_key_value("more", "x" * 9_999)
    with pytest.raises(TypeError, match=r"^Object of type object is not JSON serializable$"):
        set_key_value("object", object())
    circle: list[Any] = []
    circle.append(circle)
    for value in (float("nan"), "\ud800", circle):
        with pytest.raises(ValueError, match=r"^value: this cannot be written as JSON: "):
            set_key_value("odd", value)
    assert list_keys() == ["most"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.asyncio
async def test_what_is_set_is_what_is_read(session: Session) -> None:
    store = session.client.key_values
    values: list[Any] = []

    @settings(max_examples=60, database=None, suppress_health_check=list(HealthCheck))
    @given(JSON)
    def collect(value: Any) -> None:
        values.append(value)

    collect()
    for number, value in enumerate(values):
        try:
            await store.set(f"key {number}", value)
        except BadRequest:
            continue
        assert await store.get(f"key {number}") == value
    assert await store.delete("key 0") is True
    with pytest.raises(KeyNotFound):
        await store.get("key 0")


@task
def count() -> int:
    number = 1 + (get_key_value("count") if "count" in list_keys() else 0)
    set_key_value("count", number)
    return number


def test_tasks_of_a_script_use_the_session_of_their_run() -> None:
    with Flow("counting") as flow:
        counted = count()
    assert [flow.run()[counted] for _ in range(2)] == [1, 2]
    assert get_key_value("count") == 2


@pytest.mark.asyncio
async def test_tasks_use_the_database_of_their_run_whatever_the_settings_say(api_url_of_nobody: None) -> None:
    with Flow("counting") as flow:
        counted = count()
    async with Runtime(database_url="sqlite://:memory:", agent=False) as runtime:
        assert (await flow.run())[counted] == 1
        assert await runtime.session.client.key_values.get("count") == 1
        assert await asyncio.to_thread(get_key_value, "count") == 1
        assert list(hosting._open) == ["sqlite://:memory:"], "no second session, and no second database"


@pytest.fixture
def api_url_of_nobody(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setenv("PREFECTLITE_API_URL", f"http://127.0.0.1:{free_port}")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("call", "method"),
    [
        (lambda: set_key_value("k", 1), "set"),
        (lambda: get_key_value("k"), "get"),
        (lambda: delete_key("k"), "delete"),
        (lambda: list_keys(), "keys"),
    ],
)
async def test_on_a_loop_they_name_what_to_await(call: Any, method: str) -> None:
    with pytest.raises(UnsupportedLoop, match=rf"await runtime\.session\.client\.key_values\.{method}\("):
        call()


def test_a_worker_process_has_no_database() -> None:
    @task(executor=ProcessExecutor(workers=1))
    def ask() -> Any:
        return backend.get_key_value("k")

    with Flow("asking") as flow:
        asked = ask()
    with pytest.raises(FlowError, match=r"get_key_value.. needs the database, which a worker process does not have"):
        flow.run()[asked]


def test_a_server_is_asked_where_one_is_set(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("--database", f"sqlite:///{tmp_path / 'server.sqlite'}", port=free_port, cwd=tmp_path) as server:
        set_key_value("here", 1)
        monkeypatch.setenv("PREFECTLITE_API_URL", server.url)
        set_key_value("there", {"a": 1})
        assert list_keys() == ["there"]
        assert get_key_value("there") == {"a": 1}
        assert delete_key("there") is True
        with pytest.raises(ValueError, match=r"^No value found for key: there$"):
            get_key_value("there")
        with pytest.raises(ValueError, match=r"^No key there found to delete$"):
            delete_key("there")
        server.stop()


def test_two_processes_count_together(tmp_path: Path) -> None:
    code = "from prefectlite.backend import *; [set_key_value(f'{k}', k) for k in range({0}, {0} + 5)]"
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code.replace("{0}", str(n))], env=dict(os.environ), cwd=tmp_path
        )
        for n in (0, 5)
    ]
    assert [process.wait(PATIENCE) for process in running] == [0, 0]
    assert list_keys() == [str(number) for number in range(10)]
