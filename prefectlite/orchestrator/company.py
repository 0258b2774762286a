"""Who else uses a database, found in the way that kind of database allows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from prefectlite.disk import beside
from prefectlite.lazily import lazily
from prefectlite.live.bus import Bus
from prefectlite.live.events import FlowRunsDeleted
from prefectlite.live.hints import Hint
from prefectlite.orchestrator.duty import Duty
from prefectlite.orchestrator.neighbours import SocketNeighbours
from prefectlite.orchestrator.owners import FileOwner
from prefectlite.orchestrator.protocols import Neighbours, Owner
from prefectlite.repository.database import Database
from prefectlite.repository.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from prefectlite.orchestrator import postgres_neighbours
else:
    postgres_neighbours = lazily("prefectlite.orchestrator.postgres_neighbours")


class Company(NamedTuple):
    """Who shares a database: this process as an owner of runs, its neighbours where there can be any, and the services."""

    owner: Owner
    neighbours: Neighbours | None
    duty: Duty


def company_of(database: Database, bus: Bus) -> Company:
    """Who shares `database`; nothing is open yet."""
    if not isinstance(database, SqliteDatabase):
        shared = postgres_neighbours.PostgresNeighbours(database, bus)  # type: ignore[arg-type]
        database.announced = partial(_publish, bus, neighbours=shared)  # type: ignore[attr-defined]
        return Company(shared, shared, Duty(None, shared))
    path = database.path
    if path is None:
        database.announced = partial(_publish, bus)
        return Company(FileOwner(None), None, Duty(None, None))
    owner = FileOwner(beside(path, ".owners"))
    neighbours = SocketNeighbours(path, owner.id, database, bus)
    database.announced = partial(_publish, bus, neighbours=neighbours)
    return Company(owner, neighbours, Duty(path, neighbours))


def _publish(bus: Bus, hint: Hint, neighbours: Neighbours | None = None) -> None:
    """Pass on what a transaction of this process has announced; states and lines were published by who wrote them."""
    if hint.deleted:
        bus.publish([FlowRunsDeleted()])
    if neighbours is not None:
        neighbours.tell(hint)
