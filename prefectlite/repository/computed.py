"""Columns that are not stored: what each is made of, and the SQL that makes it.

Clients of Prefect's server ask for them. A state that such a client has set is kept as it was sent, at the beginning of
the details (see `records.sent_state`); of all others the same document is put together here.
"""

from __future__ import annotations

from prefectlite.records import SENT
from prefectlite.repository import limits
from prefectlite.repository.dialect import Dialect
from prefectlite.repository.table import Kind, Table
from prefectlite.version import __version__

#: The one tenant, as the first migration makes it.
TENANT_ID = "00000000-0000-4000-8000-000000000001"
_STATE_OF_RUN = ("state", "state_message", "state_start_time", "state_details")
_STATE_OF_HISTORY = ("state", "message", "start_time", "details")
_RENAMED = {
    ("task", "trigger"): "trigger_name",
    ("flow_run_state", "created"): "timestamp",
    ("flow_run_state", "updated"): "timestamp",
    ("task_run_state", "created"): "timestamp",
    ("task_run_state", "updated"): "timestamp",
    ("log", "created"): "timestamp",
    ("log", "updated"): "timestamp",
    ("task_tag_limit", "limit"): "slots",
    ("flow_concurrency_limit", "limit"): "slots",
}
_CONSTANT = {"tenant_id": TENANT_ID, "settings": "{}", "info": "{}"}
_OF_FLOW = ("created", "updated")  # an edge never changes: it was made with its flow
_VERSION = f'"__version__":"{__version__}"'
_REST = f',"_result":{{"type":"NoResultType",{_VERSION}}},"cached_inputs":{{}},{_VERSION}}}'


_USES = {"task_tag_limit": limits.used_tags, "flow_concurrency_limit": limits.used_labels}


def needed(table: Table, column: str) -> tuple[str, ...]:
    """The stored columns that a column is made of; itself, if it is stored."""
    if column in table.columns:
        return (column,)
    if column == "serialized_state":
        return _STATE_OF_HISTORY if "message" in table.columns else _STATE_OF_RUN
    if column == "version_group_id":
        return ("flow_group_id",)
    if column in _OF_FLOW and table.name == "edge":
        return ("flow_id",)
    if column == "is_late":
        return ("late_version", "version")
    if column == "used":
        return ("tag" if table.name == "task_tag_limit" else "name", "seconds", "id")
    renamed = _RENAMED.get((table.name, column))
    return (renamed,) if renamed else ()


def value(dialect: Dialect, table: Table, column: str, alias: str) -> str:
    """The SQL of a column of the row `alias`, stored or computed."""
    sources = [f"{alias}.{name}" for name in needed(table, column)]
    if column == "serialized_state":
        return _serialized_state(dialect, *sources)
    if column in table.columns or (table.name, column) in _RENAMED:
        return sources[0]
    if column == "version_group_id":
        return f"(SELECT name FROM flow_group WHERE id = {sources[0]})"
    if column in _OF_FLOW and table.name == "edge":
        return f"(SELECT created FROM flow WHERE id = {sources[0]})"
    if column == "is_loaded_from_archive":
        return "CAST(0 AS integer)"
    if column == "is_late":
        return f"(CASE WHEN {sources[0]} = {sources[1]} THEN 1 ELSE 0 END)"
    if column == "used":
        return _USES[table.name](dialect, *sources)
    # With a type: PostgreSQL guesses none where it is compared, and takes no bare constant for an order.
    if column in _CONSTANT:
        return f"CAST('{_CONSTANT[column]}' AS text)"
    return f"CAST(NULL AS {'bigint' if table.kind(column) is Kind.TIME else 'text'})"


def _serialized_state(dialect: Dialect, name: str, message: str, start_time: str, details: str) -> str:
    start = f"""CASE WHEN {start_time} IS NULL THEN '' ELSE ',"start_time":' || {dialect.json(Kind.TIME, start_time)} END"""
    rest = (
        f"CASE WHEN COALESCE({details}, '{{}}') = '{{}}' THEN '' ELSE ',' || substr({details}, 2, length({details}) - 2) END"
    )
    text = dialect.json(Kind.TEXT, message)
    made = f"""'{{"type":"' || {name} || '","message":' || {text} || {start} || {rest} || '{_REST}'"""
    return f"""CASE WHEN {details} LIKE '{{"{SENT}":%' THEN {dialect.member(details, SENT)} ELSE {made} END"""
