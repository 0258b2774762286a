"""The schema says of the tables what the migrations say."""

from __future__ import annotations

import sqlite3

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLNonNull,
    GraphQLObjectType,
    build_schema,
    get_introspection_query,
    graphql_sync,
    print_schema,
    validate_schema,
)

from prefectlite.api import sdl
from prefectlite.api.schema import SCHEMA
from prefectlite.api.types import NULLABLE
from prefectlite.repository.schema import migrations
from prefectlite.repository.sqlite_schema import TYPES
from prefectlite.repository.table import Kind
from prefectlite.repository.tables import TABLES


@pytest.mark.parametrize("name", sorted(TABLES))
def test_nullable_is_what_the_database_lets_be_null(name: str) -> None:
    connection = sqlite3.connect(":memory:")
    for migration in migrations():
        for statement in migration.statements(TYPES):
            connection.execute(statement)
    columns = {
        column: not (required or key) for _, column, _, required, _, key in connection.execute(f"PRAGMA table_info({name})")
    }
    connection.close()
    assert set(TABLES[name].columns) <= set(columns)
    assert {column for column in TABLES[name].columns if columns[column]} == NULLABLE[name]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_column_and_relation_has_its_fields(name: str) -> None:
    table = TABLES[name]
    row, condition = SCHEMA.type_map[name], SCHEMA.type_map[f"{name}_bool_exp"]
    assert isinstance(row, GraphQLObjectType)
    assert isinstance(condition, GraphQLInputObjectType)
    many = {f"{relation}_aggregate" for relation, target in table.relations.items() if target.many}
    assert set(row.fields) == {*table.columns, *table.computed, *table.relations, *many}
    assert set(condition.fields) == {"_and", "_or", "_not", *table.columns, *table.computed, *table.relations}
    for column in table.columns:
        assert isinstance(row.fields[column].type, GraphQLNonNull) == (column not in NULLABLE[name])
    assert str(row.fields[table.key].type) == ("uuid!" if table.key == "id" else "bigint!")
    assert SCHEMA.query_type is not None
    assert (f"{name}_by_pk" in SCHEMA.query_type.fields) == (table.key == "id")


def test_comparisons_of_a_kind() -> None:
    usual = {"_eq", "_neq", "_gt", "_gte", "_lt", "_lte", "_in", "_nin", "_is_null"}
    expected = dict.fromkeys(("uuid", "Int", "Boolean", "timestamptz", "interval", "bigint"), usual)
    expected["String"] = usual | {"_like", "_nlike", "_ilike", "_nilike"}
    expected["jsonb"] = {"_contains", "_has_key", "_has_keys_any", "_has_keys_all", "_is_null"}
    expected |= {"prose": expected["String"] | {"_search"}}
    for name, operators in expected.items():
        comparison = SCHEMA.type_map[f"{name}_comparison_exp"]
        assert isinstance(comparison, GraphQLInputObjectType)
        assert set(comparison.fields) == operators
    assert {kind.value for kind in Kind} == {"id", "text", "prose", "int", "bool", "time", "duration", "json"}


def test_the_schema_is_valid_and_describes_itself() -> None:
    assert validate_schema(SCHEMA) == []
    assert graphql_sync(SCHEMA, get_introspection_query()).errors is None


def test_the_printed_schema_can_be_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    sdl.main()
    text = capsys.readouterr().out
    assert print_schema(build_schema(text)).strip() == text.strip()
    arguments = "where: flow_run_bool_exp, order_by: [flow_run_order_by!], limit: Int, offset: Int"
    assert f"flow_run({arguments}, distinct_on: [flow_run_select_column!]): [flow_run!]!" in text


def test_both_families_of_scalars_exist() -> None:
    assert {"uuid", "UUID", "timestamptz", "DateTime", "jsonb", "JSON", "interval", "bigint"} <= set(SCHEMA.type_map)
