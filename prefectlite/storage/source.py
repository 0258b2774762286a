"""Places that flows are loaded from: a Python file or an importable module, or what a storage names."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec

from prefectlite.errors import FlowSourceMissing
from prefectlite.language.graph import Graph
from prefectlite.lazily import lazily
from prefectlite.storage.code_tree import CodeTree, code_tree
from prefectlite.storage.loading import Source, flows_of_file, flows_of_module, module_name

if TYPE_CHECKING:
    from prefectlite.storage import git_source, pickled
else:
    git_source, pickled = lazily("prefectlite.storage.git_source"), lazily("prefectlite.storage.pickled")


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
        self._tree().renew()
        return flows_of_file(path, module_name(path, bytes(path)), self.place)

    def digest(self) -> str:
        return self._tree().digest

    def _tree(self) -> CodeTree:
        path = Path(self.path)
        return code_tree(path, path.parent)


class ModuleSource(Source, frozen=True, tag="Module", omit_defaults=True):
    """An importable module, by its dotted name; the flow may be one of its attributes, or what that gives when called."""

    module: str = ""
    attribute: str = ""

    @property
    def place(self) -> str:
        return self.module

    def load(self) -> list[Graph]:
        self._tree().renew()
        return flows_of_module(self.module, self.attribute)

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


#: What a file's or module's name on the command line says, or where a flow was written.
AnySource = FileSource | ModuleSource
_KINDS: dict[Any, Callable[[], type[Source]]] = {
    "Local": lambda: FileSource,
    "Module": lambda: ModuleSource,
    "Git": lambda: git_source.GitSource,
    "Pickle": lambda: pickled.PickledSource,
}
_loaded: WeakKeyDictionary[Graph, Source] = WeakKeyDictionary()


def source_from_argument(text: str) -> AnySource:
    """The source that a command-line argument names: `flow.py`, `flow.py:name`, `package.module`, `package.module:name`."""
    if match := re.fullmatch(r"(.+?\.py)(?::(.*))?", text):  # the name of a flow may have colons, too
        return FileSource(match[2] or None, str(Path(match[1]).absolute()))
    if "/" in text or "\\" in text:
        return FileSource(None, str(Path(text).absolute()))
    module, _, flow = text.partition(":")
    return ModuleSource(flow or None, module)


def source_from_record(storage: dict[str, Any]) -> Source:
    """The source that a registered flow's record names. Raises FlowSourceMissing if it is of a kind not known here."""
    kind = str(storage.get("type"))
    try:
        source: Source = msgspec.convert(storage, _KINDS[kind]() if kind in _KINDS else AnySource)
        return source
    except msgspec.ValidationError as error:
        known = "cannot be used" if kind in _KINDS else "is not known here"
        raise FlowSourceMissing(f"the flow's storage {kind!r} {known}: {error}") from None


def source_record(source: Source, flow_name: str) -> dict[str, Any]:
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


def load_flow(source: Source) -> Graph:
    """The flow that `source` names. Raises FlowSourceMissing, naming the flows found, or FlowImportError."""
    found = load_flows(source)
    if source.flow is None and len(found) > 1:
        names = ", ".join(sorted(flow.name for flow in found))
        raise FlowSourceMissing(f"{source.place} has several flows ({names}): say which, {source.place}:NAME")
    return found[0]


def load_flows(source: Source) -> list[Graph]:
    """The flows in `source`, or the one it names. Raises FlowSourceMissing if there is none, FlowImportError."""
    found = source.load()
    if source.flow is not None:
        found = [flow for flow in found if flow.name == source.flow] or _by_variable(source, found)
    if not found:
        raise FlowSourceMissing(f"{source.place}: no flow found in it: define one with `with Flow(...) as flow:`")
    _loaded.update(dict.fromkeys(found, source))
    return found


def _by_variable(source: Source, found: list[Graph]) -> list[Graph]:
    named = [flow for flow in found if getattr(flow, "variable_name", None) == source.flow]
    if not named and found:
        names = ", ".join(sorted(flow.name for flow in found))
        raise FlowSourceMissing(f"{source.place}: no flow {source.flow!r} in it; it has: {names}")
    return named
