"""Who may read what. What is not named here is read by nobody: the schema is not built without it.

What a mutation needs is said where it is declared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prefectlite.api.caller import Caller
from prefectlite.errors import Forbidden
from prefectlite.repository.selection import AGGREGATE, Aggregate, Group, Nodes, Related, Root, Selection, TaskRunCounts
from prefectlite.repository.tables import READABLE
from prefectlite.roles import ADMINS, ALL_BUT_RUNS, EVERYBODY, OPERATORS, VIEWERS, Role

#: Tables, whichever way a query comes to them.
TABLE_READERS: dict[str, frozenset[Role]] = {
    **dict.fromkeys(("tenant", "project", "flow_group", "flow", "task", "edge"), EVERYBODY),
    **dict.fromkeys(("flow_run", "flow_run_state", "task_run", "task_run_state"), EVERYBODY),
    "utility_traversal": VIEWERS,
    "key_value": EVERYBODY,
    **dict.fromkeys(("agent", "agent_config"), ALL_BUT_RUNS),
    **dict.fromkeys(("log", "task_run_artifact", "task_tag_limit", "flow_concurrency_limit"), VIEWERS),
    **dict.fromkeys(("automation", "automation_firing", "message"), VIEWERS),
    **dict.fromkeys(("cloud_hook", "hook_delivery"), OPERATORS),  # addresses that are as good as passwords
    **dict.fromkeys(("api_token", "audit_log"), ADMINS),
}
#: Fields of Query and Subscription that are no table's.
FIELD_READERS: dict[str, frozenset[Role]] = {
    **dict.fromkeys(("__schema", "__type", "__typename", "hello", "api", "task_run_counts", "state_changes"), EVERYBODY),
    **dict.fromkeys(("get_task_run_info", "mapped_children"), EVERYBODY),  # of runs they are good for
    "reference_data": EVERYBODY,
    **dict.fromkeys(("utility_downstream_tasks", "utility_upstream_tasks"), VIEWERS),
    **dict.fromkeys(("logs", "run_counts", "secret_names", "status"), VIEWERS),
}


def readers_of(field: str) -> frozenset[Role]:
    """The roles that may ask for a field of Query or Subscription."""
    name = field.removesuffix(AGGREGATE).removesuffix("_by_pk")
    return FIELD_READERS.get(name) or TABLE_READERS.get(name, frozenset())


def check_declared(fields: Iterable[str]) -> None:
    """Raises LookupError for tables, and fields of Query and Subscription, of which nothing here says who reads them."""
    if missing := {*(set(READABLE) - set(TABLE_READERS)), *(name for name in fields if not readers_of(name))}:
        raise LookupError(f"api/permissions.py does not say who reads {', '.join(sorted(missing))}")


def check_fields(caller: Caller, fields: Iterable[str]) -> None:
    """Raises Forbidden where `caller` may not ask for a field of Query or Subscription."""
    if caller.role is not Role.ADMIN:
        for field in fields:
            if caller.role not in readers_of(field):
                raise Forbidden(f"The role {caller.role} may not read {field}")


def check_tables(caller: Caller, roots: Iterable[Root]) -> None:
    """Raises Forbidden where `caller` may not read a table that these ask for, compare with or order by."""
    if caller.role is not Role.ADMIN:
        for root in roots:
            for table in _tables(root):
                if caller.role not in TABLE_READERS[table]:
                    raise Forbidden(f"The role {caller.role} may not read {table}")


def _tables(root: Root | Related) -> Iterator[str]:
    if isinstance(root, Related):
        root = root.rows
    if isinstance(root, Aggregate):
        yield from _tables(root.rows)
        yield from _in_fields(root.fields)
    elif isinstance(root, Selection):
        yield root.table
        yield from _in_fields(root.fields)
        yield from _in_condition(root.table, root.where or {})
        for order in root.order_by:
            yield from _on_path(root.table, order.path)
    elif isinstance(root, TaskRunCounts):
        yield "task_run"


def _in_fields(fields: Mapping[str, Any]) -> Iterator[str]:
    for field in fields.values():
        if isinstance(field, Related | Aggregate | Selection):
            yield from _tables(field)
        elif isinstance(field, Group | Nodes):
            yield from _in_fields(field.fields)


def _in_condition(table: str, where: Any) -> Iterator[str]:
    for name, value in where.items() if isinstance(where, Mapping) else ():
        if name in ("_and", "_or"):
            for item in value or ():
                yield from _in_condition(table, item)
        elif name == "_not":
            yield from _in_condition(table, value)
        elif name in READABLE[table].relations:
            target = READABLE[table].relations[name].table
            yield target
            yield from _in_condition(target, value)


def _on_path(table: str, path: tuple[str, ...]) -> Iterator[str]:
    for name in path:
        relation = READABLE[table].relations.get(name.removesuffix(AGGREGATE))
        if relation is None:
            return
        table = relation.table
        yield table
