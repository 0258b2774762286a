"""The Query type: every field is answered by the database as JSON (see `selections` and `repository.select`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import graphene
import msgspec
from graphql import GraphQLResolveInfo

from prefectlite.api.caller import Caller
from prefectlite.api.context import Context, remit_of
from prefectlite.api.permissions import check_tables
from prefectlite.api.scalars import JSON, timestamptz, uuid, uuids
from prefectlite.api.selections import TRAVERSALS, Asked, root
from prefectlite.api.status import STATUS
from prefectlite.api.task_run_facts import FIELDS as TASK_RUN_FACTS
from prefectlite.api.types import ROWS, aggregate_field, from_row, input_type, listed, object_type, rows_field
from prefectlite.repository.database import Database
from prefectlite.repository.logs import fill_index
from prefectlite.repository.select import compile_query
from prefectlite.repository.selection import Constant, Root
from prefectlite.repository.tables import TABLES, TRAVERSAL


async def read_json(database: Database, roots: Mapping[str, Root], caller: Caller) -> bytes:
    """The JSON object of all `roots`, read in one statement. Raises BadRequest, naming the field, and Forbidden."""
    check_tables(caller, roots.values())
    remit = remit_of(database, caller)
    if all(isinstance(one, Constant) for one in roots.values()):
        members = (f'"{key}":{one.json}' for key, one in roots.items() if isinstance(one, Constant))
        return f"{{{','.join(members)}}}".encode()
    compiled = compile_query(roots, database.dialect, reach=await remit.reach() if remit is not None else None)
    if compiled.is_search:
        await fill_index(database)
    text = await database.answer(compiled.sql, compiled.parameters)
    return bytes(text, "utf-8")


async def _resolve(_root: Any, info: GraphQLResolveInfo, **_arguments: Any) -> Any:
    """The decoded value of one root field, for operations that graphql-core executes."""
    context: Context = info.context
    asked = Asked(info.schema, info.fragments, info.variable_values, context.raw_variables)
    roots = {"value": root(asked, info.field_nodes)}
    return msgspec.json.decode(await read_json(context.session.database, roots, context.caller))["value"]


_api = object_type(
    "api",
    {
        "backend": graphene.String(),
        "mode": graphene.String(),
        "version": graphene.String(),
        "core_version": graphene.String(),
        "release_timestamp": timestamptz(),
    },
    "What answers here.",
    from_row,
)
_reference_data = object_type(
    "reference_data", {"state_hierarchy": JSON(), "state_info": JSON()}, "The kinds of states that there are.", from_row
)
_task_run_count = object_type(
    "task_run_count",
    {"task_id": uuid(required=True), "state": graphene.String(required=True), "count": graphene.Int(required=True)},
    "How many runs of a task are in a state.",
    from_row,
)


async def _secret_names(_root: Any, info: GraphQLResolveInfo) -> list[str]:
    context: Context = info.context
    return await context.session.client.secrets.names()


def _fields() -> dict[str, graphene.Field]:
    fields = {
        "hello": graphene.Field(graphene.String, description="A friendly word, to see whether anybody is there."),
        "api": graphene.Field(_api),
        "reference_data": graphene.Field(_reference_data),
        "status": STATUS,
        **TASK_RUN_FACTS,
        "task_run_counts": graphene.Field(
            graphene.NonNull(listed(_task_run_count)),
            flow_run_id=uuid(required=True),
            description="The runs of one flow run, counted by task and state; children stand for mapped tasks.",
        ),
        "secret_names": graphene.Field(
            graphene.NonNull(listed(graphene.String)),
            resolver=_secret_names,
            description="The names of all secrets. Their values are for code that runs here, and for nobody else.",
        ),
    }
    for name in TRAVERSALS:
        arguments = {"start_task_ids": uuids(), "depth_limit": graphene.Int()}
        given = input_type(f"{name}_args", arguments, "Where to begin, and how many steps to go: 50 if it is not said.")
        args = {"args": graphene.Argument(given, required=True)}
        fields[name] = rows_field(TRAVERSAL.name, args=args)
        fields[f"{name}_aggregate"] = aggregate_field(TRAVERSAL.name, args=args)
    for name, table in TABLES.items():
        fields[name] = rows_field(name)
        if table.key == "id":
            fields[f"{name}_by_pk"] = graphene.Field(ROWS[name], id=uuid(required=True))
        fields[f"{name}_aggregate"] = aggregate_field(name)
    return fields


Query = object_type("Query", _fields(), "What can be read.", _resolve)
