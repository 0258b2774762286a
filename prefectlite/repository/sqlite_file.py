"""A SQLite file as a file: looked at when it is opened, copied while it is used, kept aside before its schema changes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from prefectlite.disk import beside, sync
from prefectlite.errors import StoreDamaged, StoreError, StoreUnavailable

#: Files of up to so many bytes are looked through whenever they are opened: that takes about 3 ms per MB.
ALWAYS_CHECKED = 1024 * 1024
#: Larger files are looked through where the last process did not close them; beyond this, `prefectlite db check` does it.
CHECKED_AFTER_A_CRASH = 256 * 1024 * 1024
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_COMPANIONS = ("-wal", "-shm", "-journal")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether this is what SQLite says of a file that is damaged, or no database at all."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


def advice(error: sqlite3.Error, path: Path) -> str:
    """What to do about an error that is not of prefectlite's own making; empty where there is nothing to say."""
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if kind == sqlite3.SQLITE_FULL:
        return f". Make room on the disk of {path.parent}"
    if kind == sqlite3.SQLITE_IOERR:
        name = getattr(error, "sqlite_errorname", "SQLITE_IOERR").removeprefix("SQLITE_")
        return f" ({name}). See to the disk of {path.parent}: the system's own log says what is wrong with it"
    if kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f". Give this user the right to write to the file, and to its directory {path.parent}"
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ". Another program, not prefectlite, has it open and locked: let it come to an end"
    return ""


def is_lost_sync(error: sqlite3.Error) -> bool:
    """Whether the disk did not keep what it was given.

    Systems forget then what they could not write: the next sync succeeds, and promises what is not there.
    """
    return getattr(error, "sqlite_errorcode", 0) in (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)


def gave_way(place: str) -> StoreError:
    """The error for a database on such a disk: what can be done about it."""
    return StoreError(
        f"The disk did not keep what was written to the database {place}: nothing more is written to it by this process. See"
        " to the disk, as the system's own log says, and start again: what was under way goes on where it stopped"
    )


def unavailable(message: str, error: sqlite3.Error | OSError) -> StoreUnavailable:
    """The error with this message; its exit code says what is amiss: no right, no room, a broken disk."""
    found = StoreUnavailable(message)
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, PermissionError) or kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        found.exit_code = 77
    elif kind == sqlite3.SQLITE_FULL:
        found.exit_code = 73
    elif kind == sqlite3.SQLITE_IOERR:
        found.exit_code = 74
    return found


def check_companions(path: Path) -> bool:
    """Whether the file was left open by its last process, or is open in another one.

    Raises StoreDamaged if the database is gone while the journal of its last changes is there: SQLite would throw that away.
    """
    journal = beside(path, "-wal")
    if not _size(journal):  # looked at first: who makes a new database makes its file before its journal
        return False
    if not _size(path):
        raise damage(path, f"it is empty or gone, but the journal of its last changes, {journal.name}, is there")
    return True


def begin_use(connection: sqlite3.Connection, path: Path, was_left_open: bool) -> None:
    """Bring the file to SQLite's write-ahead mode, and look through it where that is quick or there is a reason to.

    Raises StoreDamaged. Nobody else may write meanwhile.
    """
    size = _size(path)
    if was_left_open and ALWAYS_CHECKED < size <= CHECKED_AFTER_A_CRASH:
        # Only who has the file for itself can leave the mode: others are using it if this one cannot, and have checked it.
        with _patience(connection, 0):
            was_left_open = _pragma(connection, "journal_mode=DELETE") == "delete"
    _pragma(connection, "journal_mode=WAL")
    if size <= ALWAYS_CHECKED or (was_left_open and size <= CHECKED_AFTER_A_CRASH):
        found = _pragma(connection, "quick_check(1)")
        if found != "ok":
            raise damage(path, found)


def make_private(path: Path) -> None:
    """Let there be a file, for its owner only; SQLite gives those beside it the same mode. An older file keeps its own."""
    with suppress(OSError):  # SQLite says what is wrong
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def damage(path: Path, reason: str) -> StoreDamaged:
    """The error for a damaged file: what can be done about it."""
    newest = max(copies(path), key=lambda copy: copy.stat().st_mtime, default=None)
    if newest is None:
        way_out = "there is no backup of it that prefectlite made; `prefectlite db check` says what is damaged"
    else:
        way_out = f"the newest backup is {newest}: stop what uses the database, then `prefectlite db restore {newest}`"
    short = " ".join(reason.replace("*** in database main ***", "").split())[:200]
    return StoreDamaged(f"The database {path} is damaged ({short}) and has been left as it is; {way_out}")


def copies(path: Path) -> list[Path]:
    """The copies of the database file that were made, as far as they are still there."""
    listed = beside(path, ".backups")
    named = [Path(line) for line in listed.read_text(encoding="utf-8").splitlines()] if listed.is_file() else []
    aside = path.parent.glob(f"{path.name}.before-[0-9][0-9][0-9][0-9]")
    return [copy for copy in (*aside, *dict.fromkeys(named)) if copy.is_file()]


def keep_aside(connection: sqlite3.Connection, path: Path, number: int) -> Path:
    """The copy of the file as it is before migration `number`, checked. Raises StoreUnavailable if it cannot be made."""
    copy = path.with_name(f"{path.name}.before-{number:04}")
    try:
        copy_to(connection, copy)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable(
            f"The database {path} must be brought to schema {number}, and cannot be copied to {copy} before that: {error}"
        ) from error
    return copy


def copy_to(connection: sqlite3.Connection, target: Path) -> dict[str, int]:
    """Copy the database of `connection`, which is not in a transaction, as it is at this moment; others may write meanwhile.

    The number of rows of each table. `target` is there once the copy is whole, checked and on the disk, and not before.
    """
    unfinished = target.with_name(f"{target.name}.unfinished-{os.getpid()}")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as copy:
            connection.execute("BEGIN")
            try:
                expected = row_counts(connection)
                connection.backup(copy)
            finally:
                if connection.in_transaction:  # damage can end it
                    connection.execute("ROLLBACK")
            _pragma(copy, "journal_mode=DELETE")  # one file, without companions
            verify(copy, target, expected)
        sync(unfinished)
        unfinished.replace(target)
        sync(target.parent)
    finally:
        for leftover in (unfinished, *(beside(unfinished, ending) for ending in _COMPANIONS)):
            leftover.unlink(missing_ok=True)
    return expected


def verify(connection: sqlite3.Connection, place: Path, expected: dict[str, int] | None = None) -> dict[str, int]:
    """The number of rows of each table of a database that is whole. Raises StoreError if it is not, or not as `expected`."""
    found = _pragma(connection, "integrity_check(1)")
    if found != "ok":
        raise StoreError(f"{place} is not a whole copy: {found}")
    counts = row_counts(connection)
    if expected is not None and counts != expected:
        raise StoreError(f"{place} is not a whole copy: it has {counts} rows, not {expected}")
    return counts


def row_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """The number of rows of each table."""
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
    )
    names = [name for (name,) in tables]
    return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}


def remember_copy(path: Path, copy: Path) -> None:
    """Write down beside the database where a backup of it is, for whoever finds the database damaged one day."""
    with suppress(OSError):  # the backup is good without
        lines = [str(known) for known in copies(path) if ".before-" not in known.name and known != copy]
        beside(path, ".backups").write_text("".join(f"{line}\n" for line in [*lines[-99:], str(copy)]), encoding="utf-8")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _pragma(connection: sqlite3.Connection, words: str) -> str:
    try:
        return str(connection.execute(f"PRAGMA {words}").fetchone()[0])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY and words == "journal_mode=DELETE":
            return "busy"
        raise


@contextmanager
def _patience(connection: sqlite3.Connection, seconds: int) -> Iterator[None]:
    """In this block, `connection` waits so long for others."""
    before = _pragma(connection, "busy_timeout")
    _pragma(connection, f"busy_timeout={seconds * 1000}")
    try:
        yield
    finally:
        _pragma(connection, f"busy_timeout={before}")
