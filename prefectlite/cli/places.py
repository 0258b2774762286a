"""Where `prefectlite register` finds flows: files, directories, patterns and modules."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from prefectlite.errors import FlowError, FlowSourceMissing
from prefectlite.language.graph import Graph
from prefectlite.storage.code_tree import CodeTree, code_tree
from prefectlite.storage.source import AnySource, FileSource, ModuleSource, load_flows, source_from_argument


class Place(msgspec.Struct, frozen=True):
    """A file or module as the user named it. One that was only found, in a directory say, need not have flows."""

    name: str
    source: AnySource
    is_named: bool = True

    def flows(self) -> list[Graph]:
        """The flows in it. Raises FlowLoadError, naming file and line, and FlowError for a flow that cannot be run."""
        try:
            found = load_flows(self.source)
        except FlowSourceMissing:
            if self.is_named:
                raise
            return []
        for flow in found:
            try:
                flow.validate()
            except FlowError as error:
                raise FlowError(f"{self.name}: {error}") from error
        return found

    def is_at(self, file: str) -> bool:
        """Whether it is this file."""
        return isinstance(self.source, FileSource) and self.source.path == str(Path(file).absolute())

    def tree(self) -> CodeTree:
        """The files of its code; found without running any of it."""
        if isinstance(self.source, FileSource):
            path = Path(self.source.path)
            return code_tree(path, path.parent)
        parts = self.source.module.split(".")
        for root in map(Path, sys.path):
            place = root.joinpath(*parts)
            for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
                if file.is_file():
                    within_package = len(parts) > 1 or file.name == "__init__.py"
                    return code_tree(file, root, parts[0] if within_package else None)
        return CodeTree({})


def without_imported(loaded: Iterable[tuple[Place, Graph]]) -> list[tuple[Place, Graph]]:
    """These flows, but for those that one place imports from another, which has them for its own."""
    known = list(loaded)

    def is_imported(place: Place, flow: Graph) -> bool:
        made_in = getattr(flow, "made_in", "")
        return any(
            other != place and same.name == flow.name and other.is_at(made_in) and not place.is_at(made_in)
            for other, same in known
        )

    return [(place, flow) for place, flow in known if not is_imported(place, flow)]


def places_in(paths: Iterable[str], modules: Iterable[str]) -> list[Place]:
    """The places that these name, each once. Raises FlowSourceMissing for a path that is not there."""
    if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does, for modules
    found: dict[AnySource, Place] = {}
    for text in paths:
        for place in _places_at(text):
            known = found.get(place.source)
            if known is None or place.is_named:
                found[place.source] = place
    for text in modules:
        source = _module(text)
        found.setdefault(source, Place(text, source))
    return list(found.values())


def _places_at(text: str) -> list[Place]:
    path = Path(text)
    if path.is_dir():
        files = sorted(path.glob("*.py"))
    elif path.exists():
        return [Place(text, FileSource(None, str(path.absolute())))]
    elif files := sorted(map(Path, glob.glob(text, recursive=True))):  # noqa: PTH207 - Path's takes no absolute pattern
        files = [file for file in files if file.suffix == ".py" and file.is_file()]
    else:
        raise FlowSourceMissing(f"Path {text!r} doesn't exist")
    return [Place(str(file), FileSource(None, str(file.absolute())), is_named=False) for file in files]


def _module(text: str) -> ModuleSource:
    """The module of this name, or the flow in it: `package.module`, `package.module:flow` or `package.module.flow`."""
    source = source_from_argument(text)
    if not isinstance(source, ModuleSource):
        raise FlowSourceMissing(f"{text!r} is not a module's name: give files with -p")
    module, _, last = text.rpartition(".")
    if source.flow is None and module and not Place(text, source).tree().files:
        parent = ModuleSource(last, module)
        if Place(text, parent).tree().files:
            return parent
    return source
