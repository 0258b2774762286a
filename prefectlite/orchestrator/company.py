"""Who else uses a database, found in the way that kind of database allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefectlite.lazily import lazily
from prefectlite.live.bus import Bus
from prefectlite.orchestrator.neighbours import SocketNeighbours
from prefectlite.orchestrator.owners import FileOwner
from prefectlite.orchestrator.protocols import Neighbours, Owner
from prefectlite.repository.database import Database
from prefectlite.repository.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from prefectlite.orchestrator import postgres_neighbours
else:
    postgres_neighbours = lazily("prefectlite.orchestrator.postgres_neighbours")


def company_of(database: Database, bus: Bus) -> tuple[Owner, Neighbours | None]:
    """This process as an owner of runs, and its neighbours, not open yet: None where nobody can share the database."""
    if not isinstance(database, SqliteDatabase):
        shared = postgres_neighbours.PostgresNeighbours(database, bus)  # type: ignore[arg-type]
        return shared, shared
    path = database.path
    if path is None:
        return FileOwner(None), None
    owner = FileOwner(path.with_name(path.name + ".owners"))
    neighbours = SocketNeighbours(path, owner.id, database, bus)
    database.announced = neighbours.tell
    return owner, neighbours
