"""Code that is loaded to find the flows in it, and what every place has that code is loaded from."""

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

    @property
    def secret_names(self) -> list[str]:
        """The secrets that it takes to get at the code."""
        return []

    @property
    def is_followed(self) -> bool:
        """Whether the code is meant to change without the flow being registered again."""
        return False

    def ready(self) -> Source:
        """The source as it is now, with its code on this machine. Blocks. Raises FlowLoadError."""
        return self

    def load(self) -> list[Graph]:
        """The flows in it, in the order they are defined. Blocks: call it in a thread."""
        raise NotImplementedError

    def digest(self) -> str:
        """The hash of the code, and of what it imports from its own tree."""
        raise NotImplementedError


def module_name(path: Path, identity: bytes) -> str:
    """What the module of a flow's file is called; `identity` is what no other file has.

    So two files called flow.py are not taken for each other. It is the same in every process, so that a recorded value
    whose class is defined in the file can be read back; and without dots: pickle would look for the package before the dot.
    """
    stem = re.sub(r"\W", "_", path.stem)
    return f"prefectlite_flow_{stem}_{hashlib.sha256(identity).hexdigest()[:16]}"


def flows_of_file(path: Path, name: str, place: str) -> list[Graph]:
    """The flows that executing a file defines, as the module `name`; its directory is where its imports are found."""
    directory = str(path.parent)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    if path.suffix not in SOURCE_SUFFIXES:
        raise FlowSourceMissing(f"{place}: this is not a Python file")
    spec = importlib.util.spec_from_file_location(name, path, loader=_FreshLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        _execute(partial(spec.loader.exec_module, module), place, str(path))
    except BaseException:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    return _flows_in(module)


def flows_of_module(name: str, attribute: str = "") -> list[Graph]:
    """The flows in an importable module, or the one that `attribute` of it is or, called, gives."""
    module = _execute(partial(importlib.import_module, name), name)
    return _attribute(module, name, attribute) if attribute else _flows_in(module)


def _attribute(module: ModuleType, name: str, attribute: str) -> list[Graph]:
    place, value = f"{name}:{attribute}", module
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise FlowSourceMissing(f"{place}: there is no {part!r} in it")
        value = getattr(value, part)
    if callable(value) and not isinstance(value, Graph):
        value = _execute(value, place)
    if not isinstance(value, Graph):
        raise FlowSourceMissing(f"{place} is no flow, and gives none when it is called, but {value!r}")
    return [value]


class _FreshLoader(SourceFileLoader):
    """Compiles the file as it is now: Python's own cache does not notice an edit within a second that keeps its length."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _execute(load: Any, place: str, file: str | None = None) -> Any:
    token = loading_flow.set(True)
    try:
        return load()
    except ModuleNotFoundError as error:
        if error.name is not None and f"{place}.".startswith(f"{error.name}."):
            raise FlowSourceMissing(f"{place}: there is no such module") from error
        raise FlowImportError(f"{place} cannot be imported: {error!r}") from error
    except Exception as error:
        where = _where(error, file or place)
        raise FlowImportError(f"{place} cannot be imported: {where}{type(error).__name__}: {error}") from error
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
    return file == place or module.endswith(os.sep + re.sub(r":.*", "", place).replace(".", os.sep))


def _flows_in(module: ModuleType) -> list[Graph]:
    found: list[Graph] = []
    for name, value in vars(module).items():
        if isinstance(value, Graph) and not any(value is flow for flow in found):
            value.variable_name = name
            found.append(value)
    return found
