"""Snapshots and writes of the one door. Only `orchestrator.batch` uses them: nothing else changes a state."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from prefectlite.records import StateRecord
from prefectlite.repository.database import Transaction
from prefectlite.rules.flow_runs import FlowRunSnapshot
from prefectlite.rules.proposals import FlowRunCreation, TaskRunProposal
from prefectlite.rules.task_runs import TaskRunSnapshot

Said = dict[str, tuple[int, str]]
# The id of the state a run is in is that of the proposal which brought it there: a repeated proposal is known by it.
# And all else that every transaction has to know, in one journey to the database.
_OPENING = """
SELECT s.value, l.value, r.id, r.version, r.state, r.owner, r.lease_epoch, r.state_id
FROM counter s JOIN counter l ON l.name = 'limits' LEFT JOIN flow_run r ON """
_TASK_RUNS = "SELECT id, version, state, state_id, flow_run_id FROM task_run WHERE "
_CREATE_FLOW_RUN = """
INSERT INTO flow_run (id, flow_id, name, parameters, context, labels, scheduled_start_time, idempotency_key, run_config,
    auto_scheduled, owner, version, state, state_id, state_timestamp, state_message, state_start_time, state_details,
    created, updated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12, $13, $14, $15, $16, $17, $14, $14)
"""
_MOVE_FLOW_RUN = """
UPDATE flow_run SET version = $2, state = $3, state_id = $4, state_timestamp = $5, state_message = $6,
    state_start_time = $7, state_details = $8, start_time = coalesce(start_time, $9), end_time = $10, owner = $11,
    lease_epoch = $12, updated = $5, agent_id = coalesce((SELECT e.agent_id FROM executor e WHERE e.id = $11), agent_id)
WHERE id = $1
"""
_PUT_TASK_RUN = """
INSERT INTO task_run (id, flow_run_id, task_id, map_index, name, cache_key, start_time, end_time,
    version, state, state_id, state_timestamp, state_message, state_start_time, state_details, created, updated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $12, $12)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, state = excluded.state, state_id = excluded.state_id,
    state_timestamp = excluded.state_timestamp, state_message = excluded.state_message,
    state_start_time = excluded.state_start_time, state_details = excluded.state_details,
    start_time = coalesce(task_run.start_time, excluded.start_time), end_time = excluded.end_time,
    name = coalesce(excluded.name, task_run.name), cache_key = coalesce(excluded.cache_key, task_run.cache_key),
    updated = excluded.updated
"""
_FLOW_RUN_STATE = """
INSERT INTO flow_run_state (seq, id, flow_run_id, version, timestamp, state, message, start_time, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_TASK_RUN_STATE = """
INSERT INTO task_run_state (seq, id, task_run_id, version, timestamp, state, message, start_time, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_RESULT = """
INSERT INTO result (task_run_id, encoding, data) VALUES ($1, $2, $3)
ON CONFLICT (task_run_id) DO UPDATE SET encoding = excluded.encoding, data = excluded.data
"""


class Opening(msgspec.Struct, frozen=True):
    """What every transaction begins with: up to which number the sequence is taken, how often concurrency limits have been
    changed so far, and those of the flow runs asked for that exist, by id.
    """

    taken: int
    limits: int
    flow_runs: dict[str, FlowRunSnapshot]


async def opening(tx: Transaction, flow_run_ids: Collection[str]) -> Opening:
    """The present state of what proposals of these flow runs are decided by."""
    sought: Any
    if len(flow_run_ids) == 1:
        condition, (sought,) = "r.id = $1", flow_run_ids
    else:
        condition, sought = tx.dialect.among("r.id", "$1"), tx.dialect.listed(flow_run_ids)
    rows = await tx.fetch(f"{_OPENING}{condition} WHERE s.name = 'seq'", (sought,))
    return Opening(rows[0][0], rows[0][1], {row[2]: FlowRunSnapshot(*row[3:]) for row in rows if row[2] is not None})


async def task_run_snapshots(tx: Transaction, ids: Iterable[str]) -> dict[str, TaskRunSnapshot]:
    """The task runs with these ids that exist, by id."""
    rows = await tx.fetch(_TASK_RUNS + tx.dialect.among("id", "$1"), (tx.dialect.listed(ids),))
    return {row[0]: TaskRunSnapshot(*row[1:]) for row in rows}


async def said_before(tx: Transaction, flow_runs: Iterable[str], task_runs: Iterable[str], ids: Sequence[str]) -> Said:
    """(version, name) of those states with these ids that the history of these runs has, by id."""
    said: Said = {}
    for kind, run_ids in (("flow_run", flow_runs), ("task_run", task_runs)):
        sql = f"SELECT id, version, state FROM {kind}_state WHERE "
        where = f"{tx.dialect.among(f'{kind}_id', '$1')} AND {tx.dialect.among('id', '$2')}"
        rows = await tx.fetch(sql + where, (tx.dialect.listed(run_ids), tx.dialect.listed(ids)))
        said.update({row[0]: (row[1], row[2]) for row in rows})
    return said


async def create_flow_run(
    tx: Transaction, run_id: str, facts: FlowRunCreation, owner: str | None, state: StateRecord
) -> None:
    """Insert a flow run in its first state."""
    row = (
        run_id,
        facts.flow_id,
        facts.name,
        _json(facts.parameters),
        _json(facts.context),
        _json(facts.labels),
        facts.scheduled_start_time,
        facts.idempotency_key,
        None if facts.run_config is None else _json(facts.run_config),
        int(facts.auto_scheduled),
        owner,
        *_state_columns(state),
    )
    await tx.execute(_CREATE_FLOW_RUN, row)


async def move_flow_run(tx: Transaction, run_id: str, snapshot: FlowRunSnapshot, state: StateRecord) -> None:
    """Bring a flow run's row to `state`, at the snapshot's version and with its owner."""
    started = state.timestamp if state.name == "Running" else None
    ended = state.timestamp if state.is_finished else None
    columns = (*_state_columns(state), started, ended, snapshot.owner, snapshot.lease_epoch)
    await tx.execute(_MOVE_FLOW_RUN, (run_id, snapshot.version, *columns))


async def put_task_runs(tx: Transaction, moves: Sequence[tuple[TaskRunProposal, int, int | None]]) -> None:
    """Bring task runs to the states of their proposals, making those that are new.

    Each move is (proposal, version, the moment it began to run or None). Results come with them.
    """
    rows = []
    results = []
    for proposal, version, started in moves:
        state = proposal.state
        rows.append(
            (
                proposal.run_id,
                proposal.flow_run_id,
                proposal.task_id,
                proposal.map_index,
                proposal.name,
                proposal.cache_key,
                started,
                state.timestamp if state.is_finished else None,
                version,
                *_state_columns(state),
            )
        )
        if proposal.result is not None and proposal.result.encoding != "none":  # no row says None, too
            results.append((proposal.run_id, proposal.result.encoding, proposal.result.data))
    await tx.executemany(_PUT_TASK_RUN, rows)
    if results:
        await tx.executemany(_RESULT, results)


async def append_flow_run_states(tx: Transaction, entries: Iterable[tuple[int, str, int, StateRecord]]) -> None:
    """Add (seq, run id, version, state) entries to the history of flow runs."""
    await tx.executemany(_FLOW_RUN_STATE, [_history_row(entry) for entry in entries])


async def append_task_run_states(tx: Transaction, entries: Iterable[tuple[int, str, int, StateRecord]]) -> None:
    """Add (seq, run id, version, state) entries to the history of task runs."""
    await tx.executemany(_TASK_RUN_STATE, [_history_row(entry) for entry in entries])


def _history_row(entry: tuple[int, str, int, StateRecord]) -> tuple[Any, ...]:
    seq, run_id, version, s = entry
    return seq, s.id, run_id, version, s.timestamp, s.name, s.message, s.start_time, s.details


def _state_columns(s: StateRecord) -> tuple[Any, ...]:
    return s.name, s.id, s.timestamp, s.message, s.start_time, s.details


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
