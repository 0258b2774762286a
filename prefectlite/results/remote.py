"""Large results in a store that fsspec reaches: S3, Google Cloud, Azure and many more."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefectlite.errors import SerializationError, SettingsError
from prefectlite.lazily import lazily
from prefectlite.records import ELSEWHERE, ResultRecord
from prefectlite.results import codec
from prefectlite.results.files import BATCH
from prefectlite.results.pieces import Incoming, Outgoing
from prefectlite.results.recent import Recent
from prefectlite.results.seal import DIGEST_BYTES, Seal

if TYPE_CHECKING:
    import fsspec
else:
    fsspec = lazily("fsspec")

_SUFFIX_BYTES = 8
_NAME_BYTES = DIGEST_BYTES + _SUFFIX_BYTES
_USED_AGAIN = 1800.0  # seconds: well below the age at which a file may be garbage
_INSTALL = "result_store_url needs fsspec and its package for that kind of store: pip install 'prefectlite[fsspec]'"


class RemoteResultStore:
    """A ResultStore under `url`, in a folder that goes by the seal's key. All of its work is done in worker threads.

    Such stores cannot move a file out of the way in one step. So each file belongs to who wrote it: equal results are one
    file only where this process has written it a moment ago, and a file that is old and not named will never be.
    """

    def __init__(self, url: str, seal: Seal) -> None:
        self._url, self._seal = url, seal
        self.place = url.partition("://")[0] + "://…"  # there may be a password in the rest
        self._opened: tuple[Any, str] | None = None
        self._opening = threading.Lock()
        self._written = Recent(2 * _USED_AGAIN)

    async def put(self, result: ResultRecord) -> ResultRecord:
        """What the record keeps of `result`, which is safe there now. Raises whatever the store raises."""
        return await asyncio.to_thread(self._put, result)

    async def value(self, result: ResultRecord) -> Any:
        """The value. Raises SerializationError, saying why, if the file is gone, altered, not ours or out of reach."""
        return await asyncio.to_thread(self._value, result)

    def of_run(self, flow_run_id: str, lease: int) -> RemoteResultStore:
        """Itself: it keeps results of all runs."""
        return self

    async def take(self, encoding: str, digest: bytes, pieces: AsyncIterator[bytes]) -> ResultRecord:
        """What the record keeps of a result that comes in pieces, which is safe there now. It passes through a local file.

        Raises BadRequest if they are not what `digest` says, and what `pieces` and the store raise.
        """
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp))
        try:
            incoming = Incoming(
                folder / "result", await asyncio.to_thread(self._seal.head, encoding, digest), encoding, digest
            )
            await incoming.fill(pieces)
            return await asyncio.to_thread(self._settle, incoming.path, encoding, digest)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def give(self, result: ResultRecord) -> Outgoing:
        """The encoded value, to be read in pieces. Raises SerializationError, saying why, as `value` does."""
        return await asyncio.to_thread(self._give, result)

    # -- for the collection of garbage ------------------------------------------------------------------------------------

    async def old(self, seconds: float) -> AsyncIterator[list[bytes]]:
        """The names of the files that were written longer ago than that, in batches."""
        for folder in await asyncio.to_thread(self._folders):
            names = [name async for name in _steps(self._old_names(folder, time.time() - seconds))]
            for begin in range(0, len(names), BATCH):
                yield names[begin : begin + BATCH]

    async def set_aside(self, names: Sequence[bytes], seconds: float) -> dict[bytes, str]:
        """`names`, but for what this process wrote in the last hour, and where they are: nobody can want these any more."""
        recent = self._written.names()
        return {name: self._path(name)[1] for name in names if name not in recent}

    async def put_back(self, places: Iterable[str]) -> None:
        """Nothing: they have stayed where they are."""

    async def remove(self, places: Iterable[str]) -> int:
        """Remove these files; how many there were."""
        return await asyncio.to_thread(self._remove, places)

    # -- in a worker thread -----------------------------------------------------------------------------------------------

    def _root(self) -> tuple[Any, str]:
        """The file system, and our folder in it."""
        with self._opening:
            if self._opened is None:
                try:
                    system, path = fsspec.core.url_to_fs(self._url)
                except ImportError as error:
                    raise SettingsError(f"{_INSTALL} ({error})") from error
                self._opened = system, f"{path.rstrip('/')}/{self._seal.folder()}"
            return self._opened

    def _path(self, name: bytes) -> tuple[Any, str]:
        # Made of hexadecimal digits only, whatever the record says: no name leads out of the folder.
        system, root = self._root()
        digits = name.hex()
        return system, f"{root}/{digits[:2]}/{digits[2 : 2 * DIGEST_BYTES]}-{digits[2 * DIGEST_BYTES :]}"

    def _put(self, result: ResultRecord) -> ResultRecord:
        assert result.data is not None
        sealed = self._seal.sealed(result)
        data = result.data
        name = self._named(sealed.digest, lambda system, path: system.pipe_file(path, sealed.head + data))
        return ResultRecord(result.encoding + ELSEWHERE, name)

    def _settle(self, file: Path, encoding: str, digest: bytes) -> ResultRecord:
        return ResultRecord(encoding + ELSEWHERE, self._named(digest, lambda system, path: system.put_file(str(file), path)))

    def _named(self, digest: bytes, write: Callable[[Any, str], Any]) -> bytes:
        """The name of the file with this content, which is written unless this process has written it a moment ago."""
        name = self._written.get(digest, _USED_AGAIN)
        if name is None:
            name = digest + secrets.token_bytes(_SUFFIX_BYTES)
            system, path = self._path(name)
            with suppress(NotImplementedError):
                system.makedirs(path.rpartition("/")[0], exist_ok=True)
            write(system, path)
            self._written.add(digest, name)
        return name

    def _give(self, result: ResultRecord) -> Outgoing:
        name = _checked_name(result)
        try:
            system, path = self._path(name)
            size, file = system.size(path), system.open(path, "rb")
        except FileNotFoundError:
            raise SerializationError("its file is gone") from None
        except Exception as error:  # each kind of store has its own
            raise SerializationError(f"its file cannot be read: {type(error).__name__}: {error}") from error
        return self._seal.outgoing(file, size, name[:DIGEST_BYTES], result.encoding)

    def _value(self, result: ResultRecord) -> Any:
        name = _checked_name(result)
        try:
            system, path = self._path(name)
            content = system.cat_file(path)
        except FileNotFoundError:
            raise SerializationError(f"its file {path} is gone") from None
        except Exception as error:  # each kind of store has its own
            raise SerializationError(f"its file cannot be read: {type(error).__name__}: {error}") from error
        try:
            return codec.decode(self._seal.opened(content, name[:DIGEST_BYTES], result.encoding))
        except SerializationError as error:
            raise SerializationError(f"its file {path} is of no use: {error}") from error

    def _folders(self) -> list[str]:
        system, root = self._root()
        system.invalidate_cache()
        try:
            return sorted(path for path in system.ls(root, detail=False) if len(path.rstrip("/").rpartition("/")[2]) == 2)
        except FileNotFoundError:
            return []

    def _old_names(self, folder: str, limit: float) -> Iterator[bytes]:
        system, _ = self._root()
        beginning = folder.rstrip("/").rpartition("/")[2]
        for path in system.ls(folder, detail=False):
            with suppress(ValueError, FileNotFoundError):
                name = bytes.fromhex(beginning + path.rpartition("/")[2].replace("-", ""))
                if len(name) == _NAME_BYTES and _moment(system.modified(path)) <= limit:
                    yield name

    def _remove(self, places: Iterable[str]) -> int:
        removed = 0
        system, _ = self._root()
        for path in places:
            with suppress(FileNotFoundError):
                system.rm_file(path)
                removed += 1
        return removed


def _checked_name(result: ResultRecord) -> bytes:
    name = result.data or b""
    if len(name) != _NAME_BYTES:
        raise SerializationError("it does not lie under result_store_url")
    return name


def _moment(modified: datetime) -> float:
    return (modified if modified.tzinfo is not None else modified.replace(tzinfo=UTC)).timestamp()


async def _steps(names: Iterator[bytes]) -> AsyncIterator[bytes]:
    """`names`, each step in a worker thread."""
    end = object()
    while (name := await asyncio.to_thread(next, names, end)) is not end:
        assert isinstance(name, bytes)
        yield name
