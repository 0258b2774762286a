"""Concurrency limits: on task runs by tag, on flow runs by label. What of them is used is counted in the record itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from prefectlite.errors import NotFound
from prefectlite.ids import new_id
from prefectlite.live.hints import Hint
from prefectlite.repository.database import Database, Row, Transaction
from prefectlite.repository.dialect import Dialect
from prefectlite.rules.slots import HOLDING_FLOW_RUNS, Limit

#: Indexes of the few task runs that have a slot, or wait for one. They are there while there are limits: every state of
#: every task run pays for them.
_INDEXES = {
    "task_run_running": "task_run (task_id) WHERE state = 'Running'",
    "task_run_queued": "task_run (state_timestamp, id) WHERE state = 'Queued'",
}
#: Task runs that wait for a slot, as many as are looked at to see who is next.
NEXT = 100
#: Table of limits -> its column with what is limited.
NAMED = {"task_tag_limit": "tag", "flow_concurrency_limit": "name"}
_ALL = " UNION ALL ".join(f"SELECT '{table}', id, {name}, slots, seconds FROM {table}" for table, name in NAMED.items())
_HOLDING = ", ".join(f"'{name}'" for name in sorted(HOLDING_FLOW_RUNS))
# Along an index of the few that are in such a state, and for the queue in its order: it may be long, and only its beginning
# matters. That the joins are CROSS JOINs says so to SQLite.
_AT_WORK = f"""
FROM task_run x CROSS JOIN task t CROSS JOIN flow_run y
WHERE x.state = '%s' AND t.id = x.task_id AND y.id = x.flow_run_id AND y.state IN ({_HOLDING})
"""
_USE = "SELECT x.id, x.flow_run_id, t.tags, y.owner"
_NEXT = f"{_USE} {_AT_WORK % 'Queued'} AND y.owner IS NOT NULL ORDER BY x.state_timestamp, x.id LIMIT {NEXT}"


class TagUse(msgspec.Struct, frozen=True):
    """A task run that has a slot, or waits for one; `owner` is who executes its flow run."""

    id: str
    flow_run_id: str
    tags: frozenset[str]
    owner: str | None


async def all_limits(database: Database) -> tuple[list[Limit], list[Limit]]:
    """Those on tags, and those on labels."""
    return _by_table(await database.read(_ALL))


async def limits_in(tx: Transaction) -> tuple[list[Limit], list[Limit]]:
    """As `all_limits`, as a transaction sees them."""
    return _by_table(await tx.fetch(_ALL))


def _by_table(rows: Sequence[Row]) -> tuple[list[Limit], list[Limit]]:
    found: dict[str, list[Limit]] = {table: [] for table in NAMED}
    for table, *limit in rows:
        found[table].append(Limit(*limit))
    return found["task_tag_limit"], found["flow_concurrency_limit"]


async def tags_of(tx: Transaction, task_ids: Iterable[str]) -> dict[str, frozenset[str]]:
    """The tags of tasks, by the task's id."""
    rows = await tx.fetch(f"SELECT id, tags FROM task WHERE {tx.dialect.among('id', '$1')}", (tx.dialect.listed(task_ids),))
    return {task_id: frozenset(msgspec.json.decode(tags)) for task_id, tags in rows}


async def labels_of(tx: Transaction, run_ids: Iterable[str]) -> dict[str, frozenset[str]]:
    """The labels of flow runs, by id."""
    rows = await tx.fetch(
        f"SELECT id, labels FROM flow_run WHERE {tx.dialect.among('id', '$1')}", (tx.dialect.listed(run_ids),)
    )
    return {run_id: frozenset(msgspec.json.decode(labels)) for run_id, labels in rows}


async def running_with_tags(tx: Transaction, tags: Collection[str]) -> list[TagUse]:
    """The task runs with any of these tags that have a slot."""
    return await _with_tags(tx, "Running", tags)


async def next_in_queue(tx: Transaction) -> list[TagUse]:
    """The task runs that wait for a slot and ask for it by themselves: the first ones, in the order they began to wait."""
    return [_use(row) for row in await tx.fetch(_NEXT)]


async def _with_tags(tx: Transaction, state: str, tags: Collection[str]) -> list[TagUse]:
    values: list[object] = []
    has_any = tx.dialect.has_keys("t.tags", sorted(tags), lambda value: _bound(values, value), all_of_them=False)
    return [_use(row) for row in await tx.fetch(f"{_USE} {_AT_WORK % state} AND {has_any}", values)]


def _use(row: Row) -> TagUse:
    run_id, flow_run_id, tags, owner = row
    return TagUse(run_id, flow_run_id, frozenset(msgspec.json.decode(tags)), owner)


async def holding_with_labels(tx: Transaction, labels: Collection[str]) -> dict[str, frozenset[str]]:
    """The flow runs with any of these labels that have a slot: id -> labels."""
    values: list[object] = []
    has_any = tx.dialect.has_keys("labels", sorted(labels), lambda value: _bound(values, value), all_of_them=False)
    rows = await tx.fetch(f"SELECT id, labels FROM flow_run WHERE state IN ({_HOLDING}) AND {has_any}", values)
    return {run_id: frozenset(msgspec.json.decode(found)) for run_id, found in rows}


async def free_slots(database: Database) -> dict[str, int]:
    """Label -> how many more flow runs with it may begin now, for each label that has a limit."""
    used = used_labels(database.dialect, "l.name", "l.seconds", "l.id")
    rows = await database.read(f"SELECT l.name, min(l.slots - {used}) FROM flow_concurrency_limit l GROUP BY l.name")
    return {name: int(free) for name, free in rows}


async def starts(tx: Transaction, limit: Limit, since: int) -> list[int]:
    """When things began that the limit counts, later than `since`; no more than it has slots, the newest first."""
    sql = "SELECT started FROM limited_start WHERE limit_id = $1 AND started > $2 ORDER BY started DESC LIMIT $3"
    return [started for (started,) in await tx.fetch(sql, (limit.id, since, limit.slots))]


async def add_starts(tx: Transaction, began: Sequence[tuple[Limit, int]]) -> None:
    """Note that something began that these limits count; what they count no more is forgotten."""
    for limit, now in began:
        await tx.execute("DELETE FROM limited_start WHERE limit_id = $1 AND started <= $2", (limit.id, limit.since(now)))
    rows = [(limit.id, now) for limit, now in began]
    await tx.executemany("INSERT INTO limited_start (limit_id, started) VALUES ($1, $2)", rows)


async def owners_of_queued(database: Database) -> list[str]:
    """Who executes the flow runs in which task runs wait for a slot."""
    return [owner for (owner,) in await database.read(f"SELECT DISTINCT y.owner {_AT_WORK % 'Queued'}") if owner]


async def put(tx: Transaction, table: str, name: str, slots: int, seconds: int, now: int) -> str:
    """The id of the limit, which is so from now on."""
    sql = f"""
    INSERT INTO {table} (id, {NAMED[table]}, slots, seconds, created, updated) VALUES ($1, $2, $3, $4, $5, $5)
    ON CONFLICT ({NAMED[table]}, seconds) DO UPDATE SET slots = excluded.slots, updated = excluded.updated RETURNING id
    """
    ((limit_id,),) = await tx.fetch(sql, (new_id(), name, slots, seconds, now))
    for index, of in _INDEXES.items():
        await tx.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {of}")
    await _changed(tx)
    return str(limit_id)


async def remove(tx: Transaction, table: str, limit_id: str) -> None:
    """Forget a limit. Raises NotFound."""
    if not await tx.fetch(f"DELETE FROM {table} WHERE id = $1 RETURNING id", (limit_id,)):
        raise NotFound(f"There is no concurrency limit {limit_id}")
    await tx.execute("DELETE FROM limited_start WHERE limit_id = $1", (limit_id,))
    await _changed(tx)


async def remove_named(tx: Transaction, table: str, name: str) -> None:
    """Forget all limits on a tag, or a label. Raises NotFound."""
    rows = await tx.fetch(f"DELETE FROM {table} WHERE {NAMED[table]} = $1 RETURNING id", (name,))
    if not rows:
        what = "tag" if table == "task_tag_limit" else "label"
        raise NotFound(f"There is no concurrency limit of {what} {name!r}")
    for (limit_id,) in rows:
        await tx.execute("DELETE FROM limited_start WHERE limit_id = $1", (limit_id,))
    await _changed(tx)


async def _changed(tx: Transaction) -> None:
    if not await tx.fetch(_ALL):
        for index in _INDEXES:
            await tx.execute(f"DROP INDEX IF EXISTS {index}")
    await tx.execute("UPDATE counter SET value = value + 1 WHERE name = 'limits'")
    tx.announce(Hint(0, 0, [], limits=True, slots=True))


def used_tags(dialect: Dialect, tag: str, seconds: str, limit_id: str) -> str:
    """SQL: how many task runs have a slot of a limit, or began within its seconds."""
    return _used(dialect, f"SELECT count(*) {_AT_WORK % 'Running'} AND {dialect.has('t.tags', tag)}", seconds, limit_id)


def used_labels(dialect: Dialect, name: str, seconds: str, limit_id: str) -> str:
    """SQL: the same of flow runs."""
    held = f"SELECT count(*) FROM flow_run y WHERE y.state IN ({_HOLDING}) AND {dialect.has('y.labels', name)}"
    return _used(dialect, held, seconds, limit_id)


def _used(dialect: Dialect, held: str, seconds: str, limit_id: str) -> str:
    since = f"{dialect.now()} - {seconds} * CAST(1000000 AS bigint)"
    begun = f"SELECT count(*) FROM limited_start z WHERE z.limit_id = {limit_id} AND z.started > {since}"
    return f"(CASE WHEN {seconds} = 0 THEN ({held}) ELSE ({begun}) END)"


def _bound(values: list[object], value: object) -> str:
    values.append(value)
    return f"${len(values)}"
