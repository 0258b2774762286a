"""Places that flows are loaded from: a Python file or an importable module."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
import traceback
from functools import partial
from importlib.machinery import SOURCE_SUFFIXES, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from prefectlite.contexts import loading_flow
from prefectlite.errors import FlowImportError, FlowSourceMissing
from prefectlite.language.graph import Graph
from prefectlite.storage.code_tree import CodeTree, code_tree


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
        # A name of its own, so that two files called flow.py are not taken for each other; the same one in every process,
        # so that a recorded value whose class is defined in the file can be read back; and without dots, because pickle
        # would look for the package before the dot.
        self._tree().renew()
        stem = re.sub(r"\W", "_", path.stem)
        name = f"prefectlite_flow_{stem}_{hashlib.sha256(bytes(path)).hexdigest()[:16]}"
        directory = str(path.parent)
        if directory not in sys.path:
            sys.path.insert(0, directory)
        if path.suffix not in SOURCE_SUFFIXES:
            raise FlowSourceMissing(f"{path}: this is not a Python file")
        spec = importlib.util.spec_from_file_location(name, path, loader=_FreshLoader(name, str(path)))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        before = sys.modules.get(name)
        sys.modules[name] = module
        try:
            _execute(partial(spec.loader.exec_module, module), self.place)
        except BaseException:
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before
            raise
        return _flows_in(module)

    def digest(self) -> str:
        return self._tree().digest

    def _tree(self) -> CodeTree:
        path = Path(self.path)
        return code_tree(path, path.parent)


class ModuleSource(Source, frozen=True, tag="Module"):
    """An importable module, by its dotted name."""

    module: str = ""

    @property
    def place(self) -> str:
        return self.module

    def load(self) -> list[Graph]:
        self._tree().renew()
        return _flows_in(_execute(partial(importlib.import_module, self.module), self.place))

    def digest(self) -> str:
        return self._tree().digest

    def _tree(self) -> CodeTree:
        try:
            spec = importlib.util.find_spec(self.module)
        except ModuleNotFoundError:
            spec = None
        if spec is None or spec.origin is None:
            return CodeTree({})
        path = Path(spec.origin)
        # What the names of its imports are relative to: the directory that the outermost package lies in.
        depth = self.module.count(".") + (path.name == "__init__.py")
        return code_tree(path, path.parents[depth], self.module.partition(".")[0] if depth else None)


AnySource = FileSource | ModuleSource
_loaded: WeakKeyDictionary[Graph, AnySource] = WeakKeyDictionary()


def source_from_argument(text: str) -> AnySource:
    """The source that a command-line argument names: `flow.py`, `flow.py:name`, `package.module`, `package.module:name`."""
    if match := re.fullmatch(r"(.+?\.py)(?::(.*))?", text):  # the name of a flow may have colons, too
        return FileSource(match[2] or None, str(Path(match[1]).absolute()))
    if "/" in text or "\\" in text:
        return FileSource(None, str(Path(text).absolute()))
    module, _, flow = text.partition(":")
    return ModuleSource(flow or None, module)


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


def place_of(graph: Graph) -> dict[str, Any] | None:
    """Where `graph` can be loaded from in another process, as the record keeps it: the file or module that was loaded, or is
    the script. None for one that was made elsewhere.
    """
    if graph in _loaded:
        return source_record(_loaded[graph], graph.name)
    main = sys.modules.get("__main__")
    path, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if not path or not any(value is graph for value in list(vars(main).values())):
        return None
    source = ModuleSource(module=spec.name) if spec is not None else FileSource(path=str(Path(path).absolute()))
    return source_record(source, graph.name)


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
    _loaded.update(dict.fromkeys(found, source))
    return found


def _by_variable(source: AnySource, found: list[Graph]) -> list[Graph]:
    named = [flow for flow in found if getattr(flow, "variable_name", None) == source.flow]
    if not named and found:
        names = ", ".join(sorted(flow.name for flow in found))
        raise FlowSourceMissing(f"{source.place}: no flow {source.flow!r} in it; it has: {names}")
    return named


class _FreshLoader(SourceFileLoader):
    """Compiles the file as it is now: Python's own cache does not notice an edit within a second that keeps its length."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _execute(load: Any, place: str) -> Any:
    token = loading_flow.set(True)
    try:
        return load()
    except ModuleNotFoundError as error:
        if error.name is not None and f"{place}.".startswith(f"{error.name}."):
            raise FlowSourceMissing(f"{place}: there is no such module") from error
        raise FlowImportError(f"{place} cannot be imported: {error!r}") from error
    except Exception as error:
        raise FlowImportError(
            f"{place} cannot be imported: {_where(error, place)}{type(error).__name__}: {error}"
        ) from error
    except SystemExit as error:
        raise FlowImportError(f"{place} cannot be imported: it called sys.exit({error.code!r})") from error
    finally:
        loading_flow.reset(token)


def _where(error: Exception, place: str) -> str:
    """The innermost line of the code being loaded that led to `error`; a line of a library would tell its user nothing."""
    if isinstance(error, SyntaxError):  # its message names the line
        return ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if _is_at(frame.filename, place)]
    return f"line {lines[-1]}: " if lines else ""


def _is_at(file: str, place: str) -> bool:
    module = file.removesuffix(".py").removesuffix(f"{os.sep}__init__")
    return file == place or module.endswith(os.sep + place.replace(".", os.sep))


def _flows_in(module: ModuleType) -> list[Graph]:
    found: list[Graph] = []
    for name, value in vars(module).items():
        if isinstance(value, Graph) and not any(value is flow for flow in found):
            value.variable_name = name
            found.append(value)
    return found
