"""Places that flows are loaded from: a Python file or an importable module."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from prefectlite.contexts import loading_flow
from prefectlite.errors import FlowImportError, FlowSourceMissing
from prefectlite.language.graph import Graph


class Source(msgspec.Struct, frozen=True, tag_field="type"):
    """Where a flow's code is; `flow` is the flow's name in it (None: it has only one)."""

    flow: str | None = None

    @property
    def place(self) -> str:
        """The source's name in messages."""
        raise NotImplementedError

    def load(self) -> list[Graph]:
        """The flows in it, in the order they are defined. Blocks: call it in a thread."""
        raise NotImplementedError

    def digest(self) -> str:
        """The hash of the code, and of what it imports from its own tree."""
        raise NotImplementedError


class FileSource(Source, frozen=True, tag="Local"):
    """A Python file."""

    path: str = ""

    @property
    def place(self) -> str:
        return self.path

    def load(self) -> list[Graph]:
        path = Path(self.path)
        if not path.is_file():
            raise FlowSourceMissing(f"{path}: there is no such file")
        # A name of its own: two files called flow.py, or two versions of one, must not be taken for each other.
        name = f"prefectlite_flows.{path.stem}_{self.digest()[:16]}"
        directory = str(path.parent)
        if directory not in sys.path:
            sys.path.insert(0, directory)
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise FlowSourceMissing(f"{path}: this is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            _execute(partial(spec.loader.exec_module, module), self.place)
        except BaseException:
            sys.modules.pop(name, None)
            raise
        return _flows_in(module)

    def digest(self) -> str:
        return _digest_of_tree(Path(self.path))


class ModuleSource(Source, frozen=True, tag="Module"):
    """An importable module, by its dotted name."""

    module: str = ""

    @property
    def place(self) -> str:
        return self.module

    def load(self) -> list[Graph]:
        return _flows_in(_execute(partial(importlib.import_module, self.module), self.place))

    def digest(self) -> str:
        spec = importlib.util.find_spec(self.module)
        return _digest_of_tree(Path(spec.origin)) if spec and spec.origin else ""


AnySource = FileSource | ModuleSource


def source_from_argument(text: str) -> AnySource:
    """The source that a command-line argument names: `flow.py`, `flow.py:name`, `package.module`, `package.module:name`."""
    place, _, flow = text.rpartition(":") if ":" in text[2:] else (text, "", "")
    if place.endswith(".py") or "/" in place or "\\" in place:
        return FileSource(flow or None, str(Path(place).absolute()))
    return ModuleSource(flow or None, place)


def source_from_record(storage: dict[str, Any]) -> AnySource:
    """The source that a registered flow's record names. Raises FlowSourceMissing if it is of a kind not known here."""
    try:
        source: AnySource = msgspec.convert(storage, AnySource)
        return source
    except msgspec.ValidationError as error:
        raise FlowSourceMissing(f"the flow's storage {storage.get('type')!r} is not known here: {error}") from None


def source_record(source: AnySource, flow_name: str) -> dict[str, Any]:
    """What the record keeps of `source`, for the flow of this name."""
    record: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(source, flow=flow_name))
    return record


def load_flow(source: AnySource) -> Graph:
    """The flow that `source` names. Raises FlowSourceMissing, naming the flows found, or FlowImportError."""
    found = load_flows(source)
    if source.flow is None and len(found) > 1:
        names = ", ".join(sorted(flow.name for flow in found))
        raise FlowSourceMissing(f"{source.place} has several flows ({names}): say which, {source.place}:NAME")
    return found[0]


def load_flows(source: AnySource) -> list[Graph]:
    """The flows in `source`, or the one it names. Raises FlowSourceMissing if there is none, FlowImportError."""
    found = source.load()
    if source.flow is not None:
        found = [flow for flow in found if flow.name == source.flow] or _by_variable(source, found)
    if not found:
        raise FlowSourceMissing(f"{source.place}: no flow found in it: define one with `with Flow(...) as flow:`")
    return found


def _by_variable(source: AnySource, found: list[Graph]) -> list[Graph]:
    named = [flow for flow in found if getattr(flow, "variable_name", None) == source.flow]
    if not named and found:
        names = ", ".join(sorted(flow.name for flow in found))
        raise FlowSourceMissing(f"{source.place}: no flow {source.flow!r} in it; it has: {names}")
    return named


def _execute(load: Any, place: str) -> Any:
    token = loading_flow.set(True)
    try:
        return load()
    except ModuleNotFoundError as error:
        if error.name is not None and place.startswith(error.name):
            raise FlowSourceMissing(f"{place}: there is no such module") from error
        raise FlowImportError(f"{place} cannot be imported: {error!r}") from error
    except Exception as error:
        raise FlowImportError(f"{place} cannot be imported: {_where(error)}{type(error).__name__}: {error}") from error
    except SystemExit as error:
        raise FlowImportError(f"{place} cannot be imported: it called sys.exit({error.code!r})") from error
    finally:
        loading_flow.reset(token)


def _where(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"line {trace.tb_lineno}: " if trace is not None and not isinstance(error, SyntaxError) else ""


def _flows_in(module: ModuleType) -> list[Graph]:
    found: list[Graph] = []
    for name, value in vars(module).items():
        if isinstance(value, Graph) and not any(value is flow for flow in found):
            value.variable_name = name
            found.append(value)
    return found


def _digest_of_tree(path: Path) -> str:
    """SHA-256 over `path` and the files it imports, directly or not, from its own directory."""
    total = hashlib.sha256()
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        content = file.read_bytes()
        total.update(content)
        waiting.extend(sorted(_imported_files(content, path.parent), reverse=True))
    return total.hexdigest()


def _imported_files(content: bytes, root: Path) -> set[Path]:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names.update([base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)])
    places = [root.joinpath(*name.split(".")) for name in names if name]
    return {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}
