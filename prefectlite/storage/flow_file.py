"""Flows in files of their own: the tasks with their code, and the versions they were made with."""

from __future__ import annotations

import base64
import hashlib
import os
import pickle
import platform
import re
import secrets
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec

from prefectlite.errors import FlowSerializationError, FlowStorageError
from prefectlite.language.graph import Graph
from prefectlite.pickles import pickled
from prefectlite.settings import default_directory
from prefectlite.storage.unpicklable import culprit
from prefectlite.version import __version__


class _Envelope(msgspec.Struct):
    flow: str  # a pickle, as base64
    versions: dict[str, str] = {}


def save(flow: Graph, fpath: str | os.PathLike[str] | None = None) -> str:
    """The path of the file that `flow` was written to: `fpath`, else one named after the flow in the user's data directory.

    Raises FlowSerializationError, naming the attribute, for a flow that holds what cannot be written down.
    """
    path = _default_path(flow.name) if fpath is None else Path(fpath)
    data = dumps(flow)
    if fpath is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)  # there is the old file or the new one, and never half of one
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return str(path)


def load(fpath: str | os.PathLike[str]) -> Graph:
    """The flow that was saved at an absolute path, or under this name.

    Its code is run by that: load only what you would run. Raises FileNotFoundError, and FlowStorageError if the file is not
    a flow or needs what is not installed here.
    """
    path = Path(fpath)
    return loads((path if path.is_absolute() else _default_path(str(fpath))).read_bytes())


def dumps(flow: Graph) -> bytes:
    """`flow` as such a file. Raises FlowSerializationError."""
    try:
        data = pickled(flow)
    except Exception as error:
        place = culprit(flow, pickled)
        raise FlowSerializationError(
            f"Flow {flow.name!r} cannot be written down{f' because of {place}' if place else ''}: {error}. Make it inside"
            " the task that uses it, or register the flow by import path instead (from its file or module)"
        ) from error
    return msgspec.json.format(msgspec.json.encode(_Envelope(base64.b64encode(data).decode(), _versions())))


def loads(data: bytes) -> Graph:
    """The flow in such a file. Raises FlowStorageError."""
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
    except msgspec.DecodeError as error:
        raise FlowStorageError(f"This is not a flow that was saved: {error}") from None
    here = _versions()
    different = {name: (there, here.get(name)) for name, there in envelope.versions.items() if there != here.get(name)}
    try:
        flow = pickle.loads(base64.b64decode(envelope.flow))
    except Exception as error:
        raise FlowStorageError(_unreadable(error, different)) from error
    if not isinstance(flow, Graph):
        raise FlowStorageError(f"This is not a flow that was saved but a {type(flow).__qualname__}")
    if "prefectlite" in different:
        there, mine = different["prefectlite"]
        warnings.warn(
            f"This flow was built using prefectlite {there!r}, but you currently have prefectlite {mine!r} installed. We"
            " recommend loading flows with the same version they were built with, failure to do so may result in errors.",
            UserWarning,
            stacklevel=3,
        )
    return flow


def _unreadable(error: Exception, different: dict[str, tuple[str, Any]]) -> str:
    lines = ["An error occurred while unpickling the flow:", f"  {error!r}"]
    if different:
        lines.append(
            "This may be due to one of the following version mismatches between the flow build and execution environments:"
        )
        lines += [
            f"  - {name}: (flow built with {there!r}, currently running with {mine!r})"
            for name, (there, mine) in sorted(different.items())
        ]
    if isinstance(error, ImportError):
        lines.append(
            f"This {'also ' if different else ''}may be due to a missing Python module in your current environment."
            " Please ensure you have all required flow dependencies installed."
        )
    return "\n".join(lines)


def _versions() -> dict[str, str]:
    return {"cloudpickle": cloudpickle.__version__, "prefectlite": __version__, "python": platform.python_version()}


def _default_path(name: str) -> Path:
    return default_directory() / "flows" / f"{slugified(name)}.prefect"


def slugified(name: str) -> str:
    """`name` as a file may be called anywhere: lower case letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", name)
    kept = "".join(one for one in plain if not unicodedata.combining(one))
    slug = re.sub(r"[^a-z0-9]+", "-", kept.lower()).strip("-")
    if len(slug) > 100 or not slug or not kept.isascii():  # what is left does not tell two such names apart
        slug = f"{slug[:100]}-{hashlib.sha256(name.encode('utf-8', 'backslashreplace')).hexdigest()[:12]}".lstrip("-")
    return slug
