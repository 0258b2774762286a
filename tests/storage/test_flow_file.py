from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefectlite import Flow, Parameter, Task, context, task
from prefectlite.errors import FlowSerializationError, FlowStorageError
from prefectlite.storage.flow_file import dumps, load, loads, save, slugified
from prefectlite.version import __version__


@task
def plus(x: int, y: int = 1) -> int:
    assert context.task_name == "plus"  # a flow whose code uses the context can be saved all the same
    return x + y


def a_flow(name: str = "sums") -> Flow:
    with Flow(name) as flow:
        plus.map(plus.map([1, 2], y=[1, 2]))
        plus(Parameter("x", default=3))
    return flow


def test_a_flow_is_saved_and_loaded(tmp_path: Path) -> None:
    flow = a_flow()
    path = save(flow, tmp_path / "sums.prefect")
    assert path == str(tmp_path / "sums.prefect")
    read: Any = load(path)
    assert (read.name, sorted(read.slugs.values())) == ("sums", sorted(flow.slugs.values()))
    assert len(read.edges) == len(flow.edges)
    run = read.run(x=5)
    assert sorted(map(str, (state.result for state in run.result.values()))) == sorted(
        ["[1, 2]", "[1, 2]", "[2, 4]", "[3, 5]", "5", "6"]
    )


def test_the_file_says_with_what_it_was_made(tmp_path: Path) -> None:
    content = json.loads(Path(save(a_flow(), tmp_path / "f")).read_bytes())
    assert sorted(content) == ["flow", "versions"]
    assert sorted(content["versions"]) == ["cloudpickle", "prefectlite", "python"]
    assert content["versions"]["prefectlite"] == __version__


def test_flows_have_a_place_by_their_name(tmp_path: Path) -> None:
    assert save(a_flow("Ünder the/Bridge")) == str(tmp_path / "home" / "flows" / "under-the-bridge.prefect")
    assert load("Ünder the/Bridge").name == "Ünder the/Bridge"
    with pytest.raises(FileNotFoundError, match=r"under\.prefect"):
        load("under")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        save(a_flow(), tmp_path / "no" / "directory")


def test_a_script_of_another_process_saves_for_this_one(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from prefectlite import Flow, context, task\n"
        "from prefectlite.storage.flow_file import save\n"
        "FACTOR = 3\n"
        "@task\ndef f(x):\n    return x * FACTOR, context.flow_name\n"
        "with Flow('mine') as flow:\n    f(2)\n"
        "print(save(flow))\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    flow: Any = load(done.stdout.strip())
    assert [state.result for state in flow.run().result.values()] == [(6, "mine")]


@given(st.text())
def test_names_of_files_are_plain(name: str) -> None:
    slug = slugified(name)
    assert slug
    assert slug.isascii()
    assert not set(slug) - set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len(slug) < 200


def test_names_of_files() -> None:
    assert slugified("My First Flow") == "my-first-flow"
    assert slugified("rel.prefect") == "rel-prefect"
    assert len({slugified(name) for name in ("流れ", "流", "", "/", "a" * 500, "a" * 501)}) == 6


def changed(**changes: Any) -> bytes:
    content = json.loads(dumps(a_flow()))
    versions = changes.pop("versions", {})
    content.update(changes)
    content["versions"].update(versions)
    return json.dumps(content).encode()


def test_another_version_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"built using prefectlite '0\.0\.1', but you currently have prefectlite"):
        assert loads(changed(versions={"prefectlite": "0.0.1"})).name == "sums"
    assert loads(changed(versions={"python": "3.1"})).name == "sums"  # nothing to warn of unless it cannot be read


@pytest.mark.parametrize("data", [b"", b"{}", b"not json", b"[]", b'{"flow": 5}', b"\xff"])
def test_what_was_never_saved(data: bytes) -> None:
    with pytest.raises(FlowStorageError, match=r"^This is not a flow that was saved"):
        loads(data)


def test_a_pickle_of_something_else() -> None:
    with pytest.raises(FlowStorageError, match="not a flow that was saved but a int"):
        loads(changed(flow=base64.b64encode(b"I5\n.").decode()))


def test_what_cannot_be_read_says_why() -> None:
    other = {"python": "2.7", "prefectlite": "0.0.1"}
    with pytest.raises(FlowStorageError) as caught:
        loads(changed(flow=base64.b64encode(b"cnopkg\nfoo\n.").decode(), versions=other))
    text = str(caught.value)
    assert text.startswith(
        "An error occurred while unpickling the flow:\n  ModuleNotFoundError(\"No module named 'nopkg'\")\n"
    )
    assert f"  - prefectlite: (flow built with '0.0.1', currently running with '{__version__}')\n  - python: (" in text
    assert "This also may be due to a missing Python module in your current environment." in text
    with pytest.raises(FlowStorageError) as caught:
        loads(changed(flow=base64.b64encode(b"xx").decode()))
    assert "version mismatches" not in str(caught.value)


class Holding(Task):
    def __init__(self, held: Any) -> None:
        self.held = held
        super().__init__(name="holding")


def holding(held: Any) -> Flow:
    with Flow("full") as flow:
        Holding(held)()
    return flow


@pytest.mark.parametrize(
    ("held", "way"),
    [
        (threading.Lock(), "task 'holding'.held → _thread.lock"),
        ({"a": [1, threading.Lock()]}, "task 'holding'.held['a'][1] → _thread.lock"),
        (threading.local(), "task 'holding'.held → _thread._local"),
        ((n for n in "ab"), "task 'holding'.held → generator"),
    ],
)
def test_what_cannot_be_saved_is_named(held: Any, way: str) -> None:
    with pytest.raises(FlowSerializationError) as caught:
        dumps(holding(held))
    text = str(caught.value)
    assert text.startswith(f"Flow 'full' cannot be written down because of {way}")
    assert "register the flow by import path instead" in text
    assert isinstance(caught.value, TypeError)


def test_functions_are_looked_into() -> None:
    lock = threading.Lock()

    @task
    def enclosing() -> None:
        lock.acquire()

    def with_default(held: Any = lock) -> None:
        pass

    with Flow("one") as one:
        enclosing()
    with pytest.raises(FlowSerializationError, match=r"task 'enclosing'\.run\.lock → _thread\.lock"):
        dumps(one)
    with Flow("other") as other:
        task(with_default)()
    with pytest.raises(FlowSerializationError, match=r"task 'with_default'\..* → _thread\.lock"):
        dumps(other)


def test_what_is_nested_too_deep() -> None:
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]
    with pytest.raises(FlowSerializationError, match=r"because of task 'holding'\.held\[0\]"):
        dumps(holding(deep))


def test_what_the_flow_itself_holds_is_named() -> None:
    flow = a_flow()
    flow.conn = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(FlowSerializationError, match=r"because of flow 'sums'\.conn → _thread\.lock"):
        dumps(flow)
