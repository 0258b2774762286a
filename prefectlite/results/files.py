"""Large results in files of their own, named after what is in them: equal results of many tasks are one file."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from prefectlite.disk import sync
from prefectlite.errors import SerializationError
from prefectlite.records import ELSEWHERE, ResultRecord
from prefectlite.results import codec
from prefectlite.results.pieces import Incoming, Outgoing
from prefectlite.results.recent import Recent
from prefectlite.results.seal import DIGEST_BYTES, Seal, Sealed

#: How many files are looked at, and maybe removed, at a time.
BATCH = 200
_ASIDE = "aside"  # the directory of files about to be removed
_ABANDONED = 60.0  # seconds after which whoever set a file aside is taken to be gone
_RECENT = 3600.0
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class FileResultStore:
    """A ResultStore in the directory `root`, or in a folder of it that goes by the seal's key (`shared`). Made when needed.

    A file is there as a whole or not at all, and survives a power cut before anything names it. All of its work is done in
    worker threads.
    """

    def __init__(self, root: Path, seal: Seal, *, shared: bool = False) -> None:
        self.place = str(root)
        self._root, self._seal, self._shared = root, seal, shared
        self._written = Recent(_RECENT)

    async def put(self, result: ResultRecord) -> ResultRecord:
        """What the record keeps of `result`, which is safe in its file now. Raises OSError."""
        return await asyncio.to_thread(self._put, result)

    async def value(self, result: ResultRecord) -> Any:
        """The value. Raises SerializationError, saying why, if the file is gone, altered or not ours."""
        return await asyncio.to_thread(self._value, result)

    def of_run(self, flow_run_id: str, lease: int) -> FileResultStore:
        """Itself: it keeps results of all runs."""
        return self

    async def take(self, encoding: str, digest: bytes, pieces: AsyncIterator[bytes]) -> ResultRecord:
        """What the record keeps of a result that comes in pieces, which is safe in its file now.

        Raises BadRequest if they are not what `digest` says, OSError, and what `pieces` raises; nothing is left of it then.
        """
        incoming = await asyncio.to_thread(self._begin, encoding, digest)
        await incoming.fill(pieces)
        await asyncio.to_thread(self._settle, incoming, digest)
        return ResultRecord(encoding + ELSEWHERE, digest)

    async def give(self, result: ResultRecord) -> Outgoing:
        """The encoded value, to be read in pieces. Raises SerializationError, saying why, as `value` does."""
        return await asyncio.to_thread(self._give, result)

    # -- for the collection of garbage ------------------------------------------------------------------------------------

    async def old(self, seconds: float) -> AsyncIterator[list[bytes]]:
        """The names of the files that were written, or wanted, longer ago than that; in batches."""
        await asyncio.to_thread(self._put_back_abandoned)
        for folder in await asyncio.to_thread(self._folders):
            names = await asyncio.to_thread(_old_names, folder, time.time() - seconds)
            for begin in range(0, len(names), BATCH):
                yield names[begin : begin + BATCH]

    async def set_aside(self, names: Sequence[bytes], seconds: float) -> dict[bytes, str]:
        """Those of `names` that nobody wanted in the last `seconds`, and where they are now: out of the way.

        Who wants one makes a new one.
        """
        return await asyncio.to_thread(self._set_aside, names, seconds)

    async def put_back(self, places: Iterable[str]) -> None:
        """Undo `set_aside`."""
        await asyncio.to_thread(self._put_back, places)

    async def remove(self, places: Iterable[str]) -> int:
        """Remove what is set aside; how many files those were."""
        return await asyncio.to_thread(_remove, places)

    # -- in a worker thread -----------------------------------------------------------------------------------------------

    def _directory(self) -> Path:
        return self._root / self._seal.folder() if self._shared else self._root

    def _path(self, name: bytes) -> Path:
        # Made of hexadecimal digits only, whatever the record says: no name leads out of the directory.
        digits = name.hex()
        return self._directory() / digits[:2] / digits[2:]

    def _put(self, result: ResultRecord) -> ResultRecord:
        assert result.data is not None
        sealed = self._seal.sealed(result)
        self._written.add(sealed.digest, sealed.digest)
        path = self._path(sealed.digest)
        if not _is_there(path, sealed, result.data):
            _write(path, self._root, sealed.head, result.data)
        return ResultRecord(result.encoding + ELSEWHERE, sealed.digest)

    def _value(self, result: ResultRecord) -> Any:
        name = _checked_name(result)
        try:
            return codec.decode(self._seal.opened(self._content(name), name, result.encoding))
        except FileNotFoundError:
            raise SerializationError(f"its file {self._path(name)} is gone") from None
        except OSError as error:
            raise SerializationError(f"its file cannot be read: {error}") from error
        except SerializationError as error:
            raise SerializationError(f"its file {self._path(name)} is of no use: {error}") from error

    def _content(self, name: bytes) -> bytes:
        with self._open(name) as file:
            return file.read()

    def _open(self, name: bytes) -> BinaryIO:
        with suppress(FileNotFoundError):
            return _open(self._path(name))
        for entry in _entries(self._directory() / _ASIDE):  # for a moment, or longer if the process ended that put it there
            if entry.name.startswith(name.hex()):
                with suppress(FileNotFoundError):
                    return _open(Path(entry.path))
        return _open(self._path(name))

    def _begin(self, encoding: str, digest: bytes) -> Incoming:
        self._written.add(digest, digest)
        path = self._path(digest)
        _make_directory(path.parent, self._root)
        return Incoming(_unfinished(path), self._seal.head(encoding, digest), encoding, digest)

    def _settle(self, incoming: Incoming, digest: bytes) -> None:
        path = self._path(digest)
        incoming.path.replace(path)
        sync(path.parent)

    def _give(self, result: ResultRecord) -> Outgoing:
        name = _checked_name(result)
        try:
            file = self._open(name)
        except FileNotFoundError:
            raise SerializationError("its file is gone") from None
        except OSError as error:
            raise SerializationError(f"its file cannot be read: {error.strerror}") from error
        return self._seal.outgoing(file, os.fstat(file.fileno()).st_size, name, result.encoding)

    def _folders(self) -> list[Path]:
        """The directories that files are in."""
        folders = _entries(self._directory())
        return [Path(one.path) for one in folders if len(one.name) == 2 and one.is_dir(follow_symlinks=False)]

    def _set_aside(self, names: Sequence[bytes], seconds: float) -> dict[bytes, str]:
        aside, limit = {}, time.time() - seconds
        directory = self._directory() / _ASIDE
        if names:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            path, there = self._path(name), directory / f"{name.hex()}-{secrets.token_hex(8)}"
            with suppress(OSError):  # another process may be collecting here, too
                if path.stat().st_mtime > limit or self._written.get(name):
                    continue
                path.replace(there)
                # Who wants an equal result touches the file by its path. So either that was before, and shows now, or it
                # comes after, finds no file, and writes another one.
                if there.stat().st_mtime > limit:
                    self._put_back([str(there)])
                else:
                    aside[name] = str(there)
        return aside

    def _put_back(self, places: Iterable[str]) -> None:
        for place in map(Path, places):
            with suppress(OSError, ValueError):
                os.utime(place)  # it may replace one that somebody has just written, and wants
                place.replace(self._path(bytes.fromhex(place.name.partition("-")[0])))

    def _put_back_abandoned(self) -> None:
        """What a process that ended has set aside, and neither removed nor put back."""
        for entry in _entries(self._directory() / _ASIDE):
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_ctime < time.time() - _ABANDONED:
                    self._put_back([entry.path])


def _remove(places: Iterable[str]) -> int:
    removed = 0
    for place in places:
        with suppress(OSError):  # on some systems while somebody reads it: next time, then
            Path(place).unlink()
            removed += 1
    return removed


def _is_there(path: Path, sealed: Sealed, data: bytes) -> bool:
    """Whether the file has just this content. It counts as wanted from now on, so that it is not removed."""
    try:
        os.utime(path)
        content = _read(path)  # after it was touched: see `_set_aside`
    except OSError:
        return False
    head = len(sealed.head)
    return len(content) == head + len(data) and content[:head] == sealed.head and memoryview(content)[head:] == data


def _read(path: Path) -> bytes:
    with _open(path) as file:
        return file.read()


def _open(path: Path) -> BinaryIO:
    file = open(os.open(path, os.O_RDONLY | _NO_LINKS), "rb")  # noqa: PTH123, SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} is not a file")
    return file


def _checked_name(result: ResultRecord) -> bytes:
    name = result.data or b""
    if len(name) != DIGEST_BYTES:
        raise SerializationError("the record does not say which file it is in")
    return name


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{secrets.token_hex(16)}")


def _write(path: Path, root: Path, *parts: bytes) -> None:
    _make_directory(path.parent, root)
    unfinished = _unfinished(path)
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS, 0o600)
        with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123
            for part in parts:
                rest = memoryview(part)
                while rest:
                    rest = rest[file.write(rest) :]
            os.fsync(descriptor)
        unfinished.replace(path)
        sync(path.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _make_directory(directory: Path, root: Path) -> None:
    """Make it with those above it, so that a power cut does not take them away again."""
    if directory.is_dir():
        return
    if directory != root.parent:
        _make_directory(directory.parent, root)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    sync(directory.parent)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _old_names(folder: Path, limit: float) -> list[bytes]:
    """The names of the files in `folder` that are older than `limit`. Those that were never finished are removed."""
    names = []
    for entry in _entries(folder):
        with suppress(OSError, ValueError):
            if entry.stat(follow_symlinks=False).st_mtime > limit:
                continue
            if entry.name.startswith("."):
                Path(entry.path).unlink()
            elif len(name := bytes.fromhex(folder.name + entry.name)) == DIGEST_BYTES:
                names.append(name)
    return names
