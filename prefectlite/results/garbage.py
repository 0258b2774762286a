"""Removing the files of results that the record does not name: of deleted runs, of attempts that were cut short."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

from prefectlite.records import ELSEWHERE
from prefectlite.repository.database import Database

#: A file is written before the state that names it is committed; whoever does that gets so many seconds for it.
TIME_TO_COMMIT = 3600.0
# The index on `result` has this very condition.
_NAMED = f"SELECT data FROM result WHERE encoding IN ('cloudpickle{ELSEWHERE}', 'msgpack{ELSEWHERE}') AND data IN "


class Collectable(Protocol):
    """A result store of which files can be removed, by name."""

    def old(self, seconds: float) -> AsyncIterator[list[bytes]]:
        """The names of what was written, or wanted again, longer ago than that; in small batches."""
        ...

    async def set_aside(self, names: Sequence[bytes], seconds: float) -> dict[bytes, str]:
        """Those of `names` that still nobody has wanted for so long, and where they are: who wants one makes a new one."""
        ...

    async def put_back(self, places: Iterable[str]) -> None:
        """Undo `set_aside`."""
        ...

    async def remove(self, places: Iterable[str]) -> int:
        """Remove what is set aside; how many that were."""
        ...


async def collect_garbage(database: Database, store: Collectable, older_than: float = TIME_TO_COMMIT) -> int:
    """Remove the files of `store` that no result in the record names and that are older than so many seconds; how many.

    May go on beside runs, and in several processes at once.
    """
    removed = 0
    async for names in store.old(older_than):
        named = await _named(database, names)
        aside = await store.set_aside([name for name in names if name not in named], older_than)
        named = await _named(database, list(aside))  # by a commit that took its time
        await store.put_back([place for name, place in aside.items() if name in named])
        removed += await store.remove([place for name, place in aside.items() if name not in named])
    return removed


async def _named(database: Database, names: Sequence[bytes]) -> set[bytes]:
    if not names:
        return set()
    places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    return {bytes(row[0]) for row in await database.read(f"{_NAMED}({places})", names)}
