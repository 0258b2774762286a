"""Runs that are paused."""

from __future__ import annotations

from prefectlite.records import StateRecord
from prefectlite.repository.database import Database


async def paused_flow_runs(database: Database) -> list[tuple[str, int, StateRecord]]:
    """(id, version, state) of the flow runs that are paused."""
    rows = await database.read(
        "SELECT id, version, state_id, state, state_timestamp, state_message, state_start_time, state_details"
        " FROM flow_run WHERE state = 'Paused'"
    )
    return [(run_id, version, StateRecord(*state)) for run_id, version, *state in rows]
