"""Storages: what an author says of where the code is holds when a flow is registered, and when a run begins."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import itertools
import os
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prefectlite import Flow, Runtime, task
from prefectlite.errors import FlowError, FlowLoadError, FlowSourceMissing, FlowStorageError
from prefectlite.records import FlowRow
from prefectlite.registration import register_in, source_of
from prefectlite.services.catalog import Catalog
from prefectlite.session import Session
from prefectlite.settings import replaced_settings
from prefectlite.storage import Git, Local, Module, Storage
from prefectlite.storage.source import FileSource, load_flow, source_from_record
from tests.storage.repositories import Repository

FLOW = "from prefectlite import Flow, task\n@task\ndef one(): return 1\nwith Flow('daily') as flow: one()\n"
_numbers = itertools.count()
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git command")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PREFECTLITE_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    with replaced_settings(git_protocols=("file",)):
        yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def daily() -> Flow:
    with Flow("daily") as flow:
        task(lambda: 1, name="one")()
    return flow


def here(tmp_path: Path) -> FileSource:
    """A file that flows of a test are said to be made in."""
    path = tmp_path / "made_in.py"
    path.write_text(FLOW)
    return FileSource(None, str(path))


# -- on paper -------------------------------------------------------------------------------------------------------------


def test_as_prefect_has_them(daily: Flow, tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text(FLOW)
    storage = Local(path=file, stored_as_script=True)
    assert "daily" not in storage
    assert storage.add_flow(daily) == str(file)
    assert "daily" in storage.build()
    assert storage.get_flow("daily").name == "daily"
    with pytest.raises(ValueError, match='Name conflict: Flow with the name "daily" is already present in this storage'):
        storage.add_flow(daily)
    with pytest.raises(ValueError, match="Flow is not contained in this Storage"):
        storage.get_flow("weekly")
    assert storage.serialize()["flows"] == {"daily": str(file)}
    assert repr(storage) == "<Storage: Local>"
    assert Git("f.py", repo="a/b") == Git("f.py", repo="a/b", repo_host="github.com") != Git("f.py", repo="a/c")
    assert len({Module("a.b"), Module("a.b")}) == 1
    assert Module("a") != "a"


def test_what_cannot_be_said() -> None:
    with pytest.raises(ValueError, match="Either `repo` or `git_clone_url_secret_name` must be provided"):
        Git("f.py")
    with pytest.raises(
        ValueError, match="Please provide only one of the following parameters: `branch_name`, `tag`, `commit`"
    ):
        Git("f.py", repo="a/b", tag="1", branch_name="2")
    with pytest.raises(FlowError, match="Module: 'a-b' is no name of a module"):
        Module("a-b")
    with pytest.raises(FlowError, match="is no name of a module"):
        Module("a:")
    with pytest.raises(FlowError, match="Local: a storage has no result here: give it to the flow"):
        Local(result=object())
    with pytest.raises(NotImplementedError):
        Storage().add_flow(Flow("f"))


@pytest.mark.parametrize("name", ["GitHub", "GitLab", "Bitbucket", "CodeCommit", "Docker", "S3", "GCS", "Azure", "Webhook"])
def test_what_does_not_exist_here_says_what_does(name: str) -> None:
    with pytest.raises(ImportError, match=f"{name} storage does not exist in prefectlite: use Git"):
        exec(f"from prefectlite.storage import {name}")


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Gitt'"):
        _ = importlib.import_module("prefectlite.storage").Gitt


def test_a_flow_has_it_on_paper(daily: Flow) -> None:
    assert daily.serialize()["storage"] is None
    daily.storage = Git("f.py", repo="a/b")
    written = daily.serialize(build=True)["storage"]
    assert written["type"] == "Git"
    assert written["repo"] == "a/b"
    daily.storage = "github"
    with pytest.raises(FlowError, match="Flow 'daily': storage takes a storage, such as Git"):
        daily.serialize()


# -- registered and run ---------------------------------------------------------------------------------------------------


async def registered(session: Session, flow: Flow, tmp_path: Path) -> tuple[FlowRow, dict[str, Any]]:
    """The version of `flow` in the record, and what its storage is there."""
    row = await register_in(session, flow, "p", here(tmp_path))
    ((text,),) = await session.database.read("SELECT storage FROM flow WHERE id = $1", (row.id,))
    return row, msgspec.json.decode(text)


@needs_git
@pytest.mark.asyncio
async def test_git_is_pinned_when_it_is_registered(database_url: str, daily: Flow, tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    first = repository.commit({"flow.py": FLOW})
    daily.storage = Git("flow.py", repo=repository.url, labels=["git"])
    async with Runtime(database_url=database_url, agent=False) as runtime:
        row, storage = await registered(runtime.session, daily, tmp_path)
        assert (storage["type"], storage["flow"], storage["commit_sha"]) == ("Git", "daily", first)
        assert daily.storage.flows == {}  # it is the author's own, and stays as it is
        assert (await registered(runtime.session, daily, tmp_path))[0].id == row.id
        second = repository.commit({"flow.py": FLOW + "# changed\n"})
        assert (await Catalog().find(row)).name == "daily"
        again, storage = await registered(runtime.session, daily, tmp_path)
        assert (again.version, storage["commit_sha"]) == (2, second)
        ((config,),) = await runtime.session.database.read("SELECT run_config FROM flow WHERE id = $1", (row.id,))
        assert msgspec.json.decode(config)["labels"] == ["git"]
        daily.storage = Git("gone.py", repo=repository.url)
        with pytest.raises(FlowSourceMissing, match=r"gone\.py in .*: there is no such file in the commit"):
            await registered(runtime.session, daily, tmp_path)


@needs_git
@pytest.mark.asyncio
async def test_git_that_is_followed(
    database_url: str, daily: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repository = Repository(tmp_path)
    daily.storage = Git("flow.py", repo=repository.url, branch_name="main", follow=True)
    async with Runtime(database_url=database_url, agent=False) as runtime:
        row, storage = await registered(runtime.session, daily, tmp_path)  # before anything was pushed
        assert "commit_sha" not in storage
        catalog = Catalog()
        repository.commit({"flow.py": FLOW + "flow.age = 1\n"})
        assert (await catalog.find(row)).age == 1  # type: ignore[attr-defined]
        assert await catalog.find(row) is await catalog.find(row)
        repository.commit({"flow.py": FLOW + "flow.age = 2\n"})
        assert (await catalog.find(row)).age == 2  # type: ignore[attr-defined]
        assert "register it again" not in caplog.text
        repository.commit({"flow.py": FLOW.replace("flow: one()", "flow: one(); one()")})
        with pytest.raises(FlowSourceMissing, match="holds another version of flow 'daily'"):
            await catalog.find(row)


@needs_git
@pytest.mark.asyncio
async def test_a_run_begins_with_the_secret_of_the_database(database_url: str, daily: Flow, tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit({"flow.py": FLOW})
    daily.storage = Git("flow.py", git_clone_url_secret_name="URL")
    async with Runtime(database_url=database_url) as runtime:
        session = runtime.session
        with pytest.raises(FlowSourceMissing, match="`prefectlite secrets set URL`"):
            await registered(session, daily, tmp_path)
        await session.client.secrets.set("URL", repository.url)
        row, storage = await registered(session, daily, tmp_path)
        assert repository.url not in str(storage)
        shutil.rmtree(tmp_path / "data" / "git")  # as on another machine
        run_id = await session.client.create_flow_run(flow_id=row.id)
        async with asyncio.timeout(20):
            while (found := await _state(session, run_id)) not in ("Success", "Failed"):
                await session.clock.sleep(0.01)
        assert found == "Success"


async def _state(session: Session, run_id: str) -> str:
    ((state,),) = await session.database.read("SELECT state FROM flow_run WHERE id = $1", (run_id,))
    return str(state)


@pytest.mark.asyncio
async def test_local_and_module(database_url: str, daily: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"module{next(_numbers)}"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{name}.py").write_text(FLOW + "def make():\n    flow.told = 'made'\n    return flow\nnumber = 3\n")
    other = tmp_path / "other.py"
    other.write_text(FLOW + "flow.told = 'other'\n")
    async with Runtime(database_url=database_url, agent=False) as runtime:
        for storage, told in (
            (Local(), None),
            (Local(path=other), "other"),
            (Module(name), None),
            (Module(f"{name}:flow"), None),
            (Module(f"{name}:make"), "made"),
        ):
            daily.storage = storage
            row, _ = await registered(runtime.session, daily, tmp_path)
            assert getattr(await Catalog().find(row), "told", None) == told
        for broken, message in (
            (f"{name}:number", "is no flow, and gives none"),
            (f"{name}:nothing", "there is no 'nothing' in"),
        ):
            daily.storage = Module(broken)
            row, _ = await registered(runtime.session, daily, tmp_path)
            with pytest.raises(FlowLoadError, match=message):
                await Catalog().find(row)
        daily.storage = Local(path=tmp_path / "gone.py")
        with pytest.raises(FlowSourceMissing, match=r"gone\.py: there is no such file, which is to hold flow 'daily'"):
            await registered(runtime.session, daily, tmp_path)
        daily.storage = "local"
        with pytest.raises(FlowError, match="storage takes a storage"):
            await registered(runtime.session, daily, tmp_path)


def test_a_flow_without_a_file(daily: Flow) -> None:
    with pytest.raises(FlowError, match="write it in a Python file and register that"):
        source_of(daily, "<stdin>")
    daily.storage = Local()
    with pytest.raises(FlowSourceMissing, match=r"which cannot be loaded again: .* Local\(stored_as_script=False\)"):
        daily.storage.source(daily, source_of(daily, "<stdin>"))


# -- pickles (S10) --------------------------------------------------------------------------------------------------------


def test_a_pickle_is_stored_and_loaded(daily: Flow, tmp_path: Path) -> None:
    storage = Local(stored_as_script=False)
    with replaced_settings(allow_pickled_flows=True):
        source = storage.source(daily, source_of_nothing(daily))
        record = msgspec.to_builtins(source)
        assert record["path"].startswith(str(tmp_path / "data" / "flows" / "daily"))
        assert load_flow(source_from_record(record)).name == "daily"
        assert storage.source(daily, source_of_nothing(daily)) == source
        assert source.digest() == record["sha256"]
        assert os.name == "nt" or Path(record["path"]).stat().st_mode & 0o077 == 0


def source_of_nothing(flow: Flow) -> FileSource:
    return FileSource(flow.name, "<stdin>")


def test_pickles_have_to_be_allowed(daily: Flow) -> None:
    storage = Local(stored_as_script=False)
    with pytest.raises(FlowStorageError, match="Flow 'daily': flows as pickles are not allowed"):
        storage.source(daily, source_of_nothing(daily))
    with replaced_settings(allow_pickled_flows=True):
        source = storage.source(daily, source_of_nothing(daily))
    with pytest.raises(FlowStorageError, match="flows as pickles are not allowed"):
        load_flow(source)


class _Planted:
    owned: Path

    def __reduce__(self) -> Any:
        return Path.touch, (self.owned,)


def test_a_pickle_that_was_planted_is_not_loaded(daily: Flow, tmp_path: Path) -> None:
    planted = _Planted()
    planted.owned = tmp_path / "owned"
    with replaced_settings(allow_pickled_flows=True):
        source = Local(stored_as_script=False).source(daily, source_of_nothing(daily))
        path = Path(source.place)
        good = path.read_bytes()
        for bad in (pickle.dumps(planted), good[:32] + pickle.dumps(planted), b"", good[:-1], good + b" ", good[:40]):
            path.write_bytes(bad)
            with pytest.raises(FlowStorageError, match="is not loaded: it has been altered or damaged"):
                load_flow(source)
        # The record may be altered, too: what has the digest that it names was still not sealed here.
        for body in (pickle.dumps(planted), b"cloudpickle\n" + pickle.dumps(planted)):
            path.write_bytes(b"\0" * 32 + body)
            forged = {"type": "Pickle", "flow": "daily", "path": str(path), "sha256": hashlib.sha256(body).hexdigest()}
            with pytest.raises(FlowStorageError, match="was not written with the key in"):
                load_flow(source_from_record(forged))
        path.write_bytes(good)
        (tmp_path / "data" / "flows.key").unlink()
        with pytest.raises(FlowStorageError, match="Register the flow again, on this machine"):
            load_flow(source)
        path.unlink()
        with pytest.raises(FlowSourceMissing, match="the flow cannot be read: No such file"):
            load_flow(source)
        with pytest.raises(FlowSourceMissing, match="the flow cannot be read"):
            load_flow(source_from_record({"type": "Pickle", "flow": "daily", "path": str(path), "sha256": "no digest"}))
    assert not planted.owned.exists()


@pytest.mark.asyncio
async def test_a_pickled_flow_is_registered_and_found(database_url: str, daily: Flow, tmp_path: Path) -> None:
    daily.storage = Local(stored_as_script=False, directory=tmp_path / "elsewhere")
    with replaced_settings(allow_pickled_flows=True):
        async with Runtime(database_url=database_url, agent=False) as runtime:
            row, storage = await registered(runtime.session, daily, tmp_path)
            assert storage["type"] == "Pickle"
            assert Path(storage["path"]).is_relative_to(tmp_path / "elsewhere")
            assert (await Catalog().find(row)).name == "daily"
            assert (await registered(runtime.session, daily, tmp_path))[0].id == row.id
