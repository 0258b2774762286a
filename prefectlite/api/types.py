"""The GraphQL types that mirror READABLE: rows, conditions, orders and counts, under Hasura's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import graphene
from graphql import GraphQLResolveInfo

from prefectlite.api.scalars import BY_KIND, bigint
from prefectlite.repository.picking import DIRECTIONS
from prefectlite.repository.selection import AGGREGATE
from prefectlite.repository.table import SUMMARIES, Kind, Table
from prefectlite.repository.tables import READABLE, TABLES
from prefectlite.repository.where import OPERATORS

#: The columns that may be null; all others never are. A test holds this against the migrations.
NULLABLE: dict[str, frozenset[str]] = {
    "tenant": frozenset(),
    "project": frozenset({"description", "retention_days", "log_retention_days"}),
    "flow_group": frozenset({"description", "labels", "schedule", "run_config"}),
    "flow": frozenset({"project_id", "description", "environment", "run_config", "schedule", "storage"}),
    "task": frozenset({"description", "retry_delay", "timeout", "cache_key"}),
    "edge": frozenset({"key"}),
    "flow_run": frozenset(
        {
            *("run_config", "idempotency_key", "agent_id", "heartbeat", "start_time", "end_time"),
            *("state_message", "state_start_time", "state_details"),
        }
    ),
    "task_run": frozenset(
        {"name", "cache_key", "start_time", "end_time", "state_message", "state_start_time", "state_details"}
    ),
    "flow_run_state": frozenset({"message", "start_time", "details"}),
    "task_run_state": frozenset({"message", "start_time", "details"}),
    "log": frozenset({"task_run_id"}),
    "task_run_artifact": frozenset(),
    "agent": frozenset({"agent_config_id"}),
    "agent_config": frozenset(),
    "key_value": frozenset(),
    "task_tag_limit": frozenset(),
    "flow_concurrency_limit": frozenset(),
    "cloud_hook": frozenset({"flow_group_id", "name"}),
    "hook_delivery": frozenset({"flow_run_id", "seq", "automation_id", "last_error", "next_attempt"}),
    "message": frozenset(),
    "automation": frozenset({"flow_group_id", "seconds", "cloud_hook_id", "target_flow_group_id"}),
    "automation_firing": frozenset({"flow_run_id", "seq", "message"}),
    "api_token": frozenset({"labels", "projects", "secrets", "expires_at", "last_used", "revoked_at"}),
    "audit_log": frozenset({"address"}),
    "utility_traversal": frozenset({"task_id", "depth"}),
}


def from_row(row: dict[str, Any], info: GraphQLResolveInfo, **_arguments: Any) -> Any:
    """What the database wrote for this field, found by its response key: two aliases of a field are two values."""
    return row[info.path.key]  # type: ignore[index]


def object_type(name: str, fields: dict[str, Any], doc: str, resolver: Callable[..., Any] | None = None) -> Any:
    """A graphene object type; `resolver` serves fields that have none of their own."""
    meta = {"name": name} | (
        {"default_resolver": lambda _name, _default, *args, **kw: resolver(*args, **kw)} if resolver else {}
    )
    return type(name, (graphene.ObjectType,), {**fields, "__doc__": doc, "Meta": type("Meta", (), meta)})


def input_type(name: str, fields: dict[str, Any], doc: str) -> Any:
    """A graphene input type whose values are plain dictionaries."""
    meta = type("Meta", (), {"name": name, "container": dict})
    return type(name, (graphene.InputObjectType,), {**fields, "__doc__": doc, "Meta": meta})


def listed(of: Any) -> Any:
    """The type `[of!]`."""
    return graphene.List(graphene.NonNull(of))


def rows_field(table: str, type_: Any = None, **options: Any) -> graphene.Field:
    """A field that gives rows of `table`, or `type_` of them, with the arguments that pick, order and page them."""
    return graphene.Field(
        type_ or graphene.NonNull(listed(lambda: ROWS[table])),
        where=graphene.Argument(lambda: CONDITIONS[table]),
        order_by=graphene.Argument(listed(lambda: ORDERS[table])),
        limit=graphene.Int(),
        offset=graphene.Int(),
        distinct_on=graphene.Argument(listed(lambda: COLUMNS[table])),
        **options,
    )


def aggregate_field(table: str, **options: Any) -> graphene.Field:
    """A field that gives counts over rows of `table`."""
    return rows_field(table, type_=graphene.NonNull(lambda: AGGREGATES[table]), **options)


def scalar_of(table: Table, column: str) -> type[graphene.Scalar]:
    """The scalar of a column: that of its kind, but 64 bits for the sequence number."""
    kind = table.kind(column)
    assert kind is not None
    return bigint if column == "seq" else BY_KIND[kind]


def _scalar_name(scalar: type[graphene.Scalar]) -> str:
    name: str = scalar._meta.name
    return name


def _row_type(table: Table) -> Any:
    nullable = NULLABLE[table.name]
    fields: dict[str, Any] = {
        column: graphene.Field(scalar_of(table, column), required=column not in nullable) for column in table.columns
    }
    fields |= {column: graphene.Field(scalar_of(table, column)) for column in table.computed}
    for name, relation in table.relations.items():
        if relation.many:
            fields[name] = rows_field(relation.table)
            fields[f"{name}_aggregate"] = aggregate_field(relation.table)
        else:
            target = relation.table
            fields[name] = graphene.Field(lambda target=target: ROWS[target], required=relation.local not in nullable)
    return object_type(table.name, fields, f"A row of {table.name}.", from_row)


def _comparison_type(scalar: type[graphene.Scalar], kind: Kind) -> Any:
    special = {"_in": listed(scalar), "_nin": listed(scalar), "_is_null": graphene.Boolean(), "_has_key": graphene.String()}
    special |= {"_has_keys_any": listed(graphene.String), "_has_keys_all": listed(graphene.String)}
    fields = {operator: special.get(operator) or scalar() for operator in OPERATORS[kind]}
    name = "prose" if kind is Kind.PROSE else _scalar_name(scalar)
    return input_type(f"{name}_comparison_exp", fields, "Comparisons that all hold; null means true.")


def _condition_type(table: Table) -> Any:
    name = f"{table.name}_bool_exp"
    fields: dict[str, Any] = {
        "_and": listed(lambda: CONDITIONS[table.name]),
        "_or": listed(lambda: CONDITIONS[table.name]),
        "_not": graphene.InputField(lambda: CONDITIONS[table.name]),
    }
    for column, kind in (table.columns | table.computed).items():
        fields[column] = graphene.InputField(BIG_COMPARISON if column == "seq" else COMPARISONS[kind])
    for relation_name, relation in table.relations.items():
        fields[relation_name] = graphene.InputField(lambda target=relation.table: CONDITIONS[target])
    return input_type(name, fields, f"A condition on rows of {table.name}; empty means true.")


def _order_type(table: Table) -> Any:
    fields: dict[str, Any] = {column: graphene.InputField(ORDER_BY) for column in (*table.columns, *table.computed)}
    for name, relation in table.relations.items():
        if not relation.many:
            fields[name] = graphene.InputField(lambda target=relation.table: ORDERS[target])
        else:
            fields[name + AGGREGATE] = graphene.InputField(lambda target=relation.table: AGGREGATE_ORDERS[target])
    return input_type(f"{table.name}_order_by", fields, "An order; of several keys the first counts first.")


def _aggregate_order_type(table: Table) -> Any:
    fields: dict[str, Any] = {"count": graphene.InputField(ORDER_BY)}
    for function in SUMMARIES:
        if columns := _summed_up(table, function):
            orders = {column: graphene.InputField(ORDER_BY) for column in columns}
            doc = f"An order by the {function} of columns."
            fields[function] = graphene.InputField(input_type(f"{table.name}_{function}_order_by", orders, doc))
    return input_type(f"{table.name}_aggregate_order_by", fields, f"An order by what is counted over rows of {table.name}.")


def _summed_up(table: Table, function: str) -> list[str]:
    return [column for column in (*table.columns, *table.computed) if table.is_summed_up(function, column)]


def _aggregate_type(table: Table) -> Any:
    count = graphene.Field(
        graphene.Int, required=True, columns=graphene.Argument(listed(COLUMNS[table.name])), distinct=graphene.Boolean()
    )
    summaries = {}
    for function in SUMMARIES:
        if columns := _summed_up(table, function):
            name = f"{table.name}_{function}_fields"
            scalars = {column: _summary(function, scalar_of(table, column))() for column in columns}
            summaries[function] = graphene.Field(object_type(name, scalars, f"The {function} of columns.", from_row))
    counts = object_type(
        f"{table.name}_aggregate_fields", {"count": count, **summaries}, "What is counted over rows.", from_row
    )
    fields = {
        "aggregate": graphene.Field(counts),
        "nodes": graphene.Field(graphene.NonNull(listed(lambda: ROWS[table.name]))),
    }
    return object_type(f"{table.name}_aggregate", fields, f"What is counted over rows of {table.name}.", from_row)


def _summary(function: str, scalar: type[graphene.Scalar]) -> type[graphene.Scalar]:
    special: dict[str, type[graphene.Scalar]] = {"avg": graphene.Float, "sum": bigint}
    return special.get(function, scalar)


ORDER_BY = graphene.Enum("order_by", [(name, name) for name in DIRECTIONS])
COMPARISONS: dict[Kind, Any] = {kind: _comparison_type(scalar, kind) for kind, scalar in BY_KIND.items()}
BIG_COMPARISON = _comparison_type(bigint, Kind.INT)
CONDITIONS: dict[str, Any] = {name: _condition_type(table) for name, table in READABLE.items()}
ORDERS: dict[str, Any] = {name: _order_type(table) for name, table in READABLE.items()}
#: Of the tables that others have many rows of.
AGGREGATE_ORDERS: dict[str, Any] = {
    name: _aggregate_order_type(TABLES[name])
    for name in sorted(
        {relation.table for table in TABLES.values() for relation in table.relations.values() if relation.many}
    )
}
COLUMNS: dict[str, Any] = {
    name: graphene.Enum(f"{name}_select_column", [(column, column) for column in (*table.columns, *table.computed)])
    for name, table in READABLE.items()
}
AGGREGATES: dict[str, Any] = {name: _aggregate_type(table) for name, table in READABLE.items()}
ROWS: dict[str, Any] = {name: _row_type(table) for name, table in READABLE.items()}
