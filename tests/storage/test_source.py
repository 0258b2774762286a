from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefectlite.contexts import loading_flow
from prefectlite.errors import FlowImportError, FlowSourceMissing
from prefectlite.language.graph import Graph
from prefectlite.results.codec import decode, encode
from prefectlite.storage.source import (
    FileSource,
    ModuleSource,
    load_flow,
    load_flows,
    source_from_argument,
    source_from_record,
    source_record,
)

ONE = "from prefectlite import Flow\nwith Flow('one') as flow: ...\n"
TWO = ONE + "with Flow('two') as second: ...\nagain = second\n"
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def imports_undone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test imports is forgotten after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of an importable package of a name that no other test uses."""
    directory = tmp_path / f"package{next(_numbers)}"
    directory.mkdir()
    (directory / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return directory


def write(path: Path, text: str) -> FileSource:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return FileSource(None, str(path))


# -- naming ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "flow"),
    [
        ("flow.py", "flow.py", None),
        ("flow.py:", "flow.py", None),
        ("flow.py:name", "flow.py", "name"),
        ("flow.py:My Flow", "flow.py", "My Flow"),
        ("flow.py:ETL: nightly", "flow.py", "ETL: nightly"),
        ("sub/flow.py:x", "sub/flow.py", "x"),
        ("a:b/flow.py:x", "a:b/flow.py", "x"),
        ("sub/flow", "sub/flow", None),
        ("./x.py", "x.py", None),
    ],
)
def test_arguments_that_name_files(text: str, path: str, flow: str | None) -> None:
    assert source_from_argument(text) == FileSource(flow, str(Path(path).absolute()))


def test_an_absolute_file(tmp_path: Path) -> None:
    assert source_from_argument(f"{tmp_path}/flow.py:x") == FileSource("x", str(tmp_path / "flow.py"))


@pytest.mark.parametrize(
    ("text", "module", "flow"),
    [
        ("flows", "flows", None),
        ("package.module", "package.module", None),
        ("package.module:name", "package.module", "name"),
        ("m:ETL: nightly", "m", "ETL: nightly"),
        ("f:x", "f", "x"),
    ],
)
def test_arguments_that_name_modules(text: str, module: str, flow: str | None) -> None:
    assert source_from_argument(text) == ModuleSource(flow, module)


@pytest.mark.parametrize("source", [FileSource(None, "/x/flow.py"), ModuleSource("old", "package.module")])
def test_a_source_survives_the_record(source: Any) -> None:
    record = source_record(source, "my flow")
    assert record["type"] in ("Local", "Module")
    restored = source_from_record(record)
    assert (type(restored), restored.flow, restored.place) == (type(source), "my flow", source.place)


def test_a_source_that_says_what_cannot_be() -> None:
    with pytest.raises(FlowSourceMissing, match="the flow's storage 'Local' cannot be used: Expected `str`, got `int`"):
        source_from_record({"type": "Local", "path": 5})


@pytest.mark.parametrize("record", [{"type": "Docker", "image": "x"}, {}])
def test_a_source_of_another_kind_is_named(record: dict[str, Any]) -> None:
    with pytest.raises(FlowSourceMissing, match=f"the flow's storage '{record.get('type')}' is not known here: "):
        source_from_record(record)


# -- files ----------------------------------------------------------------------------------------------------------------


def test_the_flow_of_a_file(tmp_path: Path) -> None:
    flow = load_flow(write(tmp_path / "flow.py", ONE))
    assert isinstance(flow, Graph)
    assert (flow.name, flow.variable_name) == ("one", "flow")


def test_all_flows_in_their_order_and_each_once(tmp_path: Path) -> None:
    source = write(tmp_path / "flow.py", TWO)
    assert [flow.name for flow in load_flows(source)] == ["one", "two"]
    with pytest.raises(FlowSourceMissing) as caught:
        load_flow(source)
    assert str(caught.value) == f"{source.path} has several flows (one, two): say which, {source.path}:NAME"


@pytest.mark.parametrize("name", ["two", "second"])
def test_a_flow_by_its_name_or_its_variable(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "flow.py", TWO).path
    assert load_flow(FileSource(name, path)).name == "two"


def test_a_name_wins_over_a_variable(tmp_path: Path) -> None:
    path = write(tmp_path / "flow.py", TWO + "with Flow('second') as third: ...\n").path
    assert load_flow(FileSource("second", path)).variable_name == "third"


def test_a_flow_that_is_not_in_it(tmp_path: Path) -> None:
    path = write(tmp_path / "flow.py", TWO).path
    with pytest.raises(FlowSourceMissing) as caught:
        load_flow(FileSource("three", path))
    assert str(caught.value) == f"{path}: no flow 'three' in it; it has: one, two"


@pytest.mark.parametrize("flow", [None, "one"])
def test_a_file_without_flows(tmp_path: Path, flow: str | None) -> None:
    path = write(tmp_path / "flow.py", "x = 1").path
    with pytest.raises(FlowSourceMissing, match=r"no flow found in it: define one with `with Flow\(...\) as flow:`"):
        load_flow(FileSource(flow, path))


@pytest.mark.parametrize("name", ["nothing.py", ".", "no/such/directory/flow.py"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(FlowSourceMissing, match="there is no such file"):
        load_flow(FileSource(None, str(tmp_path / name)))


def test_a_file_that_is_not_python(tmp_path: Path) -> None:
    with pytest.raises(FlowSourceMissing, match="this is not a Python file"):
        load_flow(write(tmp_path / "flow.txt", ONE))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n\n1 / 0\n", "line 3: ZeroDivisionError: division by zero"),
        ("def f():\n    raise ValueError('no')\nf()\n", "line 2: ValueError: no"),
        ("import json\njson.loads('{')\n", "line 2: JSONDecodeError: "),  # the user's line, not one of json's
        ("x = (\n", "SyntaxError: '(' was never closed (flow.py, line 1)"),
        ("import nothing_of_this_name\n", "No module named 'nothing_of_this_name'"),
        ("raise SystemExit(3)\n", "it called sys.exit(3)"),
        ("from prefectlite import Flow, task\nwith Flow('f'):\n    task(lambda x: x)()\n", "line 3: TypeError: "),
    ],
)
def test_code_that_raises(tmp_path: Path, text: str, words: str) -> None:
    source = write(tmp_path / "flow.py", text)
    before = set(sys.modules)
    with pytest.raises(FlowImportError) as caught:
        load_flow(source)
    assert str(caught.value).startswith(f"{source.path} cannot be imported: ")
    assert words in str(caught.value)
    assert caught.value.__cause__ is not None
    assert not [name for name in set(sys.modules) - before if name.startswith("prefectlite_flow_")]


def test_an_interrupt_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_flow(write(tmp_path / "flow.py", "raise KeyboardInterrupt"))
    assert not loading_flow.get()


def test_it_is_known_while_loading_and_only_then(tmp_path: Path) -> None:
    text = ONE + "from prefectlite.contexts import loading_flow\nflow.seen = loading_flow.get()\n"
    assert load_flow(write(tmp_path / "flow.py", text)).seen is True  # type: ignore[attr-defined]
    assert loading_flow.get() is False


def test_a_script_that_runs_its_flow_is_loaded_with_a_warning(tmp_path: Path) -> None:
    source = write(tmp_path / "flow.py", ONE + "flow.run()\nflow.register('p')\n")
    with pytest.warns(UserWarning, match="does nothing while the file is being loaded") as warned:
        load_flow(source)
    assert len(warned) == 2


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one = write(tmp_path / "a" / "flow.py", ONE)
    other = write(tmp_path / "b" / "flow.py", ONE.replace("one", "other"))
    assert [load_flow(source).name for source in (one, other, one)] == ["one", "other", "one"]


def test_an_edited_file_is_loaded_anew(tmp_path: Path) -> None:
    source = write(tmp_path / "flow.py", ONE)
    before = load_flow(source)
    write(tmp_path / "flow.py", ONE.replace("one", "new"))
    assert (before.name, load_flow(source).name) == ("one", "new")


def test_what_lies_beside_it_can_be_imported(tmp_path: Path) -> None:
    write(tmp_path / "neighbour_of_flow.py", "NAME = 'one'")
    text = "from prefectlite import Flow\nfrom neighbour_of_flow import NAME\nwith Flow(NAME) as flow: ...\n"
    assert load_flow(write(tmp_path / "flow.py", text)).name == "one"


@pytest.mark.parametrize("name", ["flow.py", "my-flow.v2.py", "2024 übung.py"])
def test_results_of_its_own_classes_can_be_recorded(tmp_path: Path, name: str) -> None:
    flow: Any = load_flow(write(tmp_path / name, ONE + "class Box: ...\nflow.box = Box\n"))
    assert isinstance(decode(encode(flow.box(), limit=1_000)), flow.box)


@pytest.mark.asyncio
async def test_it_loads_in_a_thread_beside_the_loop(tmp_path: Path) -> None:
    text = ONE + "import threading\nflow.thread = threading.get_ident()\n"
    flow = await asyncio.to_thread(load_flow, write(tmp_path / "flow.py", text))
    assert flow.thread != threading.get_ident()  # type: ignore[attr-defined]


# -- modules --------------------------------------------------------------------------------------------------------------


def test_the_flow_of_a_module(package: Path) -> None:
    write(package / "flows.py", TWO)
    assert [flow.name for flow in load_flows(ModuleSource(None, f"{package.name}.flows"))] == ["one", "two"]
    assert load_flow(ModuleSource("second", f"{package.name}.flows")).name == "two"


@pytest.mark.parametrize("name", ["no_such_module_anywhere", "{}.nothing", "nothing.{}"])
def test_a_module_that_is_not_there(package: Path, name: str) -> None:
    name = name.format(package.name)
    with pytest.raises(FlowSourceMissing) as caught:
        load_flow(ModuleSource(None, name))
    assert str(caught.value) == f"{name}: there is no such module"


def test_a_module_that_imports_what_is_not_there(package: Path) -> None:
    write(package / "flows.py", "import nothing_of_this_name")
    with pytest.raises(FlowImportError, match=f"{package.name}.flows cannot be imported: .*nothing_of_this_name"):
        load_flow(ModuleSource(None, f"{package.name}.flows"))


def test_a_missing_module_whose_name_is_the_beginning_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path / "no_such_library_flows.py", "import no_such_library")
    with pytest.raises(FlowImportError, match="No module named 'no_such_library'"):
        load_flow(ModuleSource(None, "no_such_library_flows"))


@pytest.mark.parametrize("file", ["__init__.py", "flows.py"])
def test_a_module_that_raises_names_the_line(package: Path, file: str) -> None:
    write(package / file, "x = 1\n1 / 0\n")
    name = package.name if file == "__init__.py" else f"{package.name}.flows"
    with pytest.raises(FlowImportError) as caught:
        load_flow(ModuleSource(None, name))
    assert str(caught.value) == f"{name} cannot be imported: line 2: ZeroDivisionError: division by zero"


# -- digests --------------------------------------------------------------------------------------------------------------


def changes(source: FileSource | ModuleSource, path: Path) -> bool:
    """Whether an edit of `path` changes the digest."""
    before, content = source.digest(), path.read_text()
    assert before == source.digest()
    path.write_text(content + "# edited\n")
    after = source.digest()
    path.write_text(content)
    assert source.digest() == before
    return after != before


def test_the_digest_covers_what_the_file_imports_from_beside_it(tmp_path: Path) -> None:
    source = write(
        tmp_path / "flow.py",
        "import near\nimport pack.deep.inner\nfrom pack2 import sub, name\n"
        "from . import sibling\ndef f():\n    import late\n",
    )
    covered = ["near.py", "pack/__init__.py", "pack/deep/__init__.py", "pack/deep/inner.py", "pack2/__init__.py"]
    covered += ["pack2/sub.py", "sibling.py", "late.py", "further.py"]
    for name in [*covered, "unused.py", "pack/unused.py", "json.py"]:
        write(tmp_path / name, "")
    (tmp_path / "near.py").write_text("import further\n")
    assert {name for name in covered if not changes(source, tmp_path / name)} == set()
    assert changes(source, tmp_path / "flow.py")
    assert not changes(source, tmp_path / "unused.py")
    assert not changes(source, tmp_path / "pack" / "unused.py")


def test_the_digest_covers_the_modules_own_package(package: Path) -> None:
    name = package.name
    write(
        package / "flows.py", f"from {name}.helpers import x\nfrom .sub.deep import y\nfrom . import third\nimport outside\n"
    )
    covered = ["helpers.py", "sub/__init__.py", "sub/deep.py", "sub/near.py", "third.py", "up.py", "__init__.py"]
    for file in covered[:-1]:
        write(package / file, "")
    write(package / "sub" / "deep.py", "from .near import z\nfrom ..up import w\n")
    write(package.parent / "outside.py", "")
    source = ModuleSource(None, f"{name}.flows")
    assert {file for file in covered if not changes(source, package / file)} == set()
    assert not changes(source, package.parent / "outside.py")


def test_the_digest_of_a_package(package: Path) -> None:
    write(package / "__init__.py", "from .inner import x\n")
    write(package / "inner.py", "")
    source = ModuleSource(None, package.name)
    assert changes(source, package / "__init__.py")
    assert changes(source, package / "inner.py")


@pytest.mark.parametrize(
    "text", ["import flow\nimport other\n", "x = (", "\0", "from ..... import x\n", "from flow import *\n"]
)
def test_any_text_has_a_digest(tmp_path: Path, text: str) -> None:
    source = write(tmp_path / "flow.py", text)
    write(tmp_path / "other.py", "import flow\n")  # they import each other
    assert len(source.digest()) == 64
    assert changes(source, tmp_path / "flow.py")


@pytest.mark.parametrize("name", ["no_such_module_anywhere", "sys"])
def test_what_has_no_file_has_no_digest(name: str) -> None:
    assert ModuleSource(None, name).digest() in ("", ModuleSource(None, "builtins").digest())
