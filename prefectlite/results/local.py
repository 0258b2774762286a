"""Results in files of this machine."""

from __future__ import annotations

import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from prefectlite.errors import ResultLocationError
from prefectlite.result import Location, Result
from prefectlite.serializers import Serializer
from prefectlite.settings import default_directory


class LocalResult(Result):
    """A value that is kept in a file below `dir`, by default the directory `results` in the user's data directory.

    A location is relative to `dir`, or an absolute path. A file is there as a whole or not at all, whoever reads it. What
    is filled into a template cannot lead out of its directory: then ResultLocationError is raised. `validate_dir=False`
    takes `dir` as it is written, without making it absolute.
    """

    def __init__(
        self,
        dir: str | os.PathLike[str] | None = None,
        validate_dir: bool = True,
        value: Any = None,
        location: Location | None = None,
        serializer: Serializer | None = None,
    ) -> None:
        super().__init__(value, location, serializer)
        home = default_directory()
        chosen = os.fspath(home / "results" if dir is None else dir)
        absolute = Path(chosen).expanduser().absolute()
        if absolute.is_relative_to(home.expanduser().absolute()):
            absolute = home.expanduser().absolute() / "results"
            chosen = str(absolute)
        self.dir = str(absolute) if validate_dir else chosen

    @property
    def default_location(self) -> str:
        now = re.sub(r"[^a-z0-9]+", "-", datetime.now(UTC).isoformat().lower())
        return f"prefect-result-{now}-{secrets.token_hex(4)}"

    def format(self, /, **kwargs: Any) -> Self:
        new = super().format(**kwargs)
        _refuse_detours(self.location, new.location)
        return new

    def read(self, location: str, /) -> Self:
        """A copy with the value in that file. Raises FileNotFoundError if there is none."""
        new = self.copy()
        new.value, new.location = self.serializer.deserialize(self._path(location).read_bytes()), location
        return new

    def write(self, value_: Any, /, **kwargs: Any) -> Self:
        """A copy with this value and the full path of the file it was written to; directories are made as needed."""
        new = self.format(**kwargs)
        assert new.location is not None
        path = self._path(new.location)
        _write_whole(path, self.serializer.serialize(value_))
        new.value, new.location = value_, str(path)
        return new

    def exists(self, location: str, /, **kwargs: Any) -> bool:
        """Whether there is such a file."""
        formatted = location.format(**kwargs)
        _refuse_detours(location, formatted)
        return self._path(formatted).exists()

    def _path(self, location: str) -> Path:
        return Path(self.dir).expanduser() / location


def _refuse_detours(template: str | None, location: str | None) -> None:
    """Raise if what was filled in, and may come from anybody who starts a run, says where files are written."""
    # A function's answer is its author's. Nor is a template taken for a detour that makes one without being filled in.
    if template is None or location is None:
        return
    given, made = Path(template), Path(location)
    if (made.is_absolute() and not given.is_absolute()) or made.parts.count("..") > given.parts.count(".."):
        raise ResultLocationError(
            f"The location {template!r} was filled in as {location!r}, which leads out of its directory: write the directory"
            " into the template or into `dir`"
        )


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    try:
        with unfinished.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # the task's state, which says that it is there, may be on disk sooner
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
