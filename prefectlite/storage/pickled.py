"""Flows that are stored as pickles, for those that no file makes again. A pickle is code: only a sealed one is loaded."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from prefectlite.errors import FlowSourceMissing, FlowStorageError, SerializationError
from prefectlite.language.graph import Graph
from prefectlite.lazily import lazily
from prefectlite.records import ResultRecord
from prefectlite.settings import current_settings, default_directory
from prefectlite.storage.loading import Source

if TYPE_CHECKING:
    from prefectlite.results import seal
    from prefectlite.storage import flow_file
else:
    flow_file, seal = lazily("prefectlite.storage.flow_file"), lazily("prefectlite.results.seal")

_ENCODING = "cloudpickle"


class PickledSource(Source, frozen=True, tag="Pickle"):
    """A flow as `store` wrote it; `sha256` is the digest of what was sealed."""

    path: str = ""
    sha256: str = ""

    @property
    def place(self) -> str:
        return self.path

    def load(self) -> list[Graph]:
        check_allowed(self.path)
        try:
            content = Path(self.path).read_bytes()
        except OSError as error:
            raise FlowSourceMissing(f"{self.path}: the flow cannot be read: {error.strerror}. Register it again") from None
        try:
            record = _seal().opened(content, _digest(self.sha256), _ENCODING)
        except SerializationError as error:
            raise FlowStorageError(f"{self.path} is not loaded: {error}. Register the flow again, on this machine") from None
        assert record.data is not None
        return [flow_file.loads(record.data)]

    def digest(self) -> str:
        return self.sha256


def store(flow: Graph, directory: Path) -> PickledSource:
    """Where `flow` is now, below `directory`. Raises FlowSerializationError, naming the attribute that cannot be pickled."""
    check_allowed(f"Flow {flow.name!r}")
    data = flow_file.dumps(flow)
    sealed = _seal().sealed(ResultRecord(_ENCODING, data))
    path = directory / flow_file.slugified(flow.name) / f"{sealed.digest.hex()}.flow"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(sealed.head + data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return PickledSource(flow.name, str(path), sealed.digest.hex())


def check_allowed(what: str) -> None:
    """Raises FlowStorageError where the setting does not allow pickled flows."""
    if not current_settings().allow_pickled_flows:
        raise FlowStorageError(
            f"{what}: flows as pickles are not allowed, because loading one runs whatever is in it. Set"
            " allow_pickled_flows = true (PREFECTLITE_ALLOW_PICKLED_FLOWS=1), or store it as a script,"
            " Local(stored_as_script=True)"
        )


def _seal() -> seal.Seal:
    return seal.Seal(default_directory().expanduser().absolute() / "flows.key")


def _digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return hashlib.sha256(text.encode()).digest()  # which no file has
