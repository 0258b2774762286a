"""Scalars of the schema. Both families of names exist, because clients declare their variables with either.

What comes out of the database is JSON already, in the form it is to be sent; so nothing is serialised here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import graphene
from graphql import GraphQLError, IntValueNode, ListValueNode, StringValueNode, ValueNode
from graphql.utilities import value_from_ast_untyped

from prefectlite.ids import is_id
from prefectlite.repository.table import Kind

_DURATION = re.compile(r"(-?)(\d{1,9}):([0-5]\d):([0-5]\d)(?:\.(\d{1,6}))?")


def _scalar(name: str, description: str, parse: Callable[[Any], Any], *nodes: type[ValueNode]) -> type[graphene.Scalar]:
    """A scalar whose input `parse` takes, both from variables and from literals of the kinds `nodes` (all, when none)."""

    def parse_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
        if nodes and not isinstance(node, nodes):
            raise GraphQLError(f"{name}: {description} is expected.", node)
        return parse(value_from_ast_untyped(node, variables))

    content = {
        "__doc__": description[0].upper() + description[1:] + ".",
        "Meta": type("Meta", (), {"name": name}),
        "serialize": staticmethod(lambda value: value),
        "parse_value": staticmethod(parse),
        "parse_literal": staticmethod(parse_literal),
    }
    return type(name, (graphene.Scalar,), content)


def _id(value: Any) -> str:
    if isinstance(value, str) and is_id(value):
        return value.lower()
    raise GraphQLError(f"Could not parse UUID: {value}")


def _ids(value: Any) -> list[str]:
    if isinstance(value, str) and value.startswith("{") and value.endswith("}"):  # as PostgreSQL writes an array
        value = [one.strip().strip('"') for one in value[1:-1].split(",")] if value[1:-1].strip() else []
    if not isinstance(value, list):
        raise GraphQLError(f"Could not parse the list of UUIDs {str(value)[:100]!r}: write it as {{a,b}}")
    return [_id(one) for one in value]


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise GraphQLError(f"Could not parse the time {value!r}: write it as 2030-01-31T12:00:00+00:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _duration(value: Any) -> timedelta:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise GraphQLError(f"Could not parse the duration {value!r}: write it as 01:30:00")
    sign, hours, minutes, seconds, fraction = match.groups()
    size = timedelta(
        hours=int(hours), minutes=int(minutes), seconds=int(seconds), microseconds=int((fraction or "").ljust(6, "0"))
    )
    return -size if sign else size


def _whole(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str) and len(value) <= 20 else value
    except ValueError:
        number = None
    if isinstance(number, int) and not isinstance(number, bool) and -(2**63) <= number < 2**63:
        return number
    raise GraphQLError(f"Could not parse {value!r} as a whole number of 64 bits")


_TIME = "a moment in ISO 8601; without an offset it means UTC"
_JSON = "any JSON"
uuid = _scalar("uuid", "a UUID", _id, StringValueNode)
UUID = _scalar("UUID", "a UUID", _id, StringValueNode)
timestamptz = _scalar("timestamptz", _TIME, _moment, StringValueNode)
DateTime = _scalar("DateTime", _TIME, _moment, StringValueNode)
interval = _scalar("interval", "a duration as HH:MM:SS", _duration, StringValueNode)
bigint = _scalar("bigint", "a whole number of 64 bits", _whole, IntValueNode, StringValueNode)
uuids = _scalar("_uuid", "a list of UUIDs, as text like {a,b}", _ids, StringValueNode, ListValueNode)
jsonb = _scalar("jsonb", _JSON, lambda value: value)
JSON = _scalar("JSON", _JSON, lambda value: value)

#: The scalar of each kind of column.
BY_KIND: dict[Kind, type[graphene.Scalar]] = {
    Kind.ID: uuid,
    Kind.TEXT: graphene.String,
    Kind.PROSE: graphene.String,
    Kind.INT: graphene.Int,
    Kind.BOOL: graphene.Boolean,
    Kind.TIME: timestamptz,
    Kind.DURATION: interval,
    Kind.JSON: jsonb,
}
