"""Run configs are written down as Prefect writes them, and say clearly what they cannot do."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefectlite import Flow, Runtime
from prefectlite.errors import FlowError
from prefectlite.registration import Terms, register_in
from prefectlite.run_configs import LocalRun, RunConfig, UniversalRun, run_config_from
from prefectlite.storage.source import ModuleSource

_HERE = ModuleSource(module=__name__)


def test_as_prefect_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert UniversalRun().serialize() == {"type": "UniversalRun", "env": None, "labels": []}
    assert UniversalRun(env={"A": "1"}, labels=["b", "a", "a"]).serialize() == {
        "type": "UniversalRun",
        "env": {"A": "1"},
        "labels": ["a", "b"],
    }
    assert LocalRun(working_dir="x").serialize() == {
        "type": "LocalRun",
        "env": None,
        "labels": [],
        "working_dir": str(tmp_path / "x"),
    }
    assert LocalRun(working_dir="~/x").working_dir == str(Path.home() / "x")
    assert UniversalRun(isolate="process").serialize()["isolate"] == "process"


def test_equal_if_written_alike() -> None:
    assert LocalRun(labels=["a", "b"]) == LocalRun(labels=("b", "a"))
    assert LocalRun() != UniversalRun()
    assert UniversalRun(isolate="process") != UniversalRun()
    assert UniversalRun() != {"type": "UniversalRun"}
    assert len({UniversalRun(labels=["a"]), UniversalRun(labels=["a"])}) == 1
    assert repr(UniversalRun(labels=["a"])) == "UniversalRun(labels=['a'])"


def test_labels_may_be_added_later() -> None:
    config = UniversalRun(labels=["a"])
    config.labels.add("b")
    assert config.serialize()["labels"] == ["a", "b"]


@pytest.mark.parametrize(
    ("config", "needed"),
    [
        (UniversalRun(), False),
        (UniversalRun(labels=["a"]), False),
        (UniversalRun(isolate="process"), True),
        (UniversalRun(env={"A": ""}), True),
        (LocalRun(), False),
        (LocalRun(env={"A": ""}), True),
        (LocalRun(working_dir="."), True),
    ],
    ids=repr,
)
def test_what_holds_for_a_whole_process_needs_one(config: RunConfig, needed: bool) -> None:
    assert config.needs_process is needed


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (UniversalRun, {"env": "A=1"}, "UniversalRun: env takes a dictionary of variables, not 'A=1'"),
        (UniversalRun, {"env": [("A", "1")]}, "env takes a dictionary"),
        (UniversalRun, {"env": {"A": 1}}, "the variable A takes text, not 1"),
        (UniversalRun, {"env": {"A": "\0"}}, "the variable A takes text"),
        (UniversalRun, {"env": {1: "1"}}, "1 cannot be the name of a variable"),
        (UniversalRun, {"env": {"A=": "1"}}, "cannot be the name"),
        (UniversalRun, {"env": {"": "1"}}, "cannot be the name"),
        (UniversalRun, {"labels": "gpu"}, "labels takes a list of texts, not 'gpu'"),
        (UniversalRun, {"labels": 3}, "labels takes a list of texts, not 3"),
        (UniversalRun, {"labels": [3]}, "a label is a text, not 3"),
        (UniversalRun, {"labels": [""]}, "a label is a text"),
        (UniversalRun, {"isolate": "container"}, "isolate takes \"process\", not 'container'"),
        (LocalRun, {"working_dir": 3}, "working_dir takes the path of a directory, not 3"),
        (LocalRun, {"working_dir": ""}, "working_dir takes the path"),
        (LocalRun, {"working_dir": b"x"}, "working_dir takes the path"),
        (LocalRun, {"working_dir": "a\0b"}, "working_dir takes the path"),
    ],
)
def test_what_cannot_be_written_down(kind: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(FlowError) as caught:
        kind(**arguments)
    assert message in str(caught.value)
    assert str(caught.value).startswith(kind.__name__)


def test_what_was_set_later_is_checked_when_it_is_written() -> None:
    config = LocalRun()
    config.working_dir = 3  # type: ignore[assignment]
    with pytest.raises(FlowError, match="working_dir takes the path"):
        config.serialize()


@pytest.mark.parametrize("name", ["DockerRun", "KubernetesRun", "ECSRun", "VertexRun"])
def test_what_does_not_exist_here_says_what_does(name: str) -> None:
    with pytest.raises(ImportError, match=f"{name} does not exist in prefectlite.*LocalRun"):
        exec(f"from prefectlite.run_configs import {name}")
    with pytest.raises(FlowError, match=f"{name} does not exist"):
        run_config_from({"type": name, "image": "x"})


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Docker'"):
        _ = importlib.import_module("prefectlite.run_configs").Docker


texts = st.text(st.characters(exclude_characters="=\0", exclude_categories=["Cs"]), min_size=1)
envs = st.none() | st.dictionaries(texts, texts)
configs = st.builds(UniversalRun, envs, st.lists(texts), st.sampled_from([None, "process"])) | st.builds(
    LocalRun, env=envs, labels=st.lists(texts), working_dir=st.none() | texts
)


@given(configs)
def test_read_back_they_are_the_same(config: RunConfig) -> None:
    assert run_config_from(config.serialize()) == config
    assert run_config_from({**config.serialize(), "__version__": "1.4.1"}) == config  # as Prefect's are


def test_documents_with_gaps() -> None:
    assert run_config_from(None) == run_config_from({}) == run_config_from({"labels": None}) == UniversalRun()
    with pytest.raises(FlowError, match="There is no run config 'SkyRun': use UniversalRun or LocalRun"):
        run_config_from({"type": "SkyRun"})
    with pytest.raises(FlowError, match="There is no run config 3"):
        run_config_from({"type": 3})


# -- in the record --------------------------------------------------------------------------------------------------------


def test_a_flow_has_it_on_paper() -> None:
    assert Flow("plain").serialize()["run_config"] is None
    assert Flow("f", run_config=UniversalRun(labels=["a"])).serialize()["run_config"] == {
        "type": "UniversalRun",
        "env": None,
        "labels": ["a"],
    }
    with pytest.raises(FlowError, match="Flow 'f': run_config takes a run config, such as LocalRun"):
        Flow("f", run_config="x").serialize()
    broken = Flow("f", run_config=UniversalRun())
    broken.run_config.env = {"A": 1}
    with pytest.raises(FlowError, match="Flow 'f': UniversalRun: env: the variable A takes text"):
        broken.serialize()


@pytest.mark.asyncio
async def test_the_record_keeps_it(database_url: str) -> None:
    async with Runtime(database_url=database_url, agent=False) as runtime:
        session = runtime.session

        async def recorded(table: str, row_id: str) -> Any:
            ((text,),) = await session.database.read(f"SELECT run_config FROM {table} WHERE id = $1", (row_id,))
            return None if text is None else run_config_from(_read(text))

        flow = Flow("configured", run_config=LocalRun(env={"A": "1"}, labels=["own"]))
        first = await register_in(session, flow, "p", _HERE, Terms(labels=("more",)))
        assert await recorded("flow", first.id) == LocalRun(env={"A": "1"}, labels=["own", "more"])
        assert flow.run_config == LocalRun(env={"A": "1"}, labels=["own"])  # it is the author's own, and stays as it is
        assert (await register_in(session, flow, "p", _HERE, Terms(labels=("more",)))).id == first.id
        flow.run_config = UniversalRun()
        second = await register_in(session, flow, "p", _HERE)
        assert second.version == 2
        run = await session.client.create_flow_run(flow_id=second.id)
        assert await recorded("flow_run", run) == UniversalRun()
        chosen = LocalRun(working_dir="data", labels=["chosen"])
        run = await session.client.create_flow_run(flow_id=second.id, run_config=chosen)
        assert await recorded("flow_run", run) == chosen
        ((labels,),) = await session.database.read("SELECT labels FROM flow_run WHERE id = $1", (run,))
        assert _read(labels) == ["chosen"]
        with pytest.raises(FlowError, match="create_flow_run: run_config takes a run config"):
            await session.client.create_flow_run(flow_id=second.id, run_config="x")  # type: ignore[arg-type]
        flow.run_config = 3
        with pytest.raises(FlowError, match="Flow 'configured': run_config takes a run config"):
            await register_in(session, flow, "p", _HERE)


def _read(text: Any) -> Any:
    return msgspec.json.decode(text)
