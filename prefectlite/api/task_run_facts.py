"""Root fields beside the tables' that old clients and pages ask about one task run."""

from __future__ import annotations

from typing import Any

import graphene
import msgspec
from graphql import GraphQLResolveInfo

from prefectlite.api.context import Context
from prefectlite.api.scalars import JSON, UUID, DateTime
from prefectlite.api.types import object_type
from prefectlite.clock import from_micros
from prefectlite.repository import foreign_runs


async def _info(_root: Any, info: GraphQLResolveInfo, task_run_id: str) -> dict[str, Any]:
    context: Context = info.context
    await _check(context, task_run_id)
    found = await foreign_runs.task_run_state(context.session.database, task_run_id)
    return msgspec.structs.asdict(found) | {"serialized_state": msgspec.json.decode(found.serialized_state)}


async def _mapped_children(_root: Any, info: GraphQLResolveInfo, task_run_id: str) -> dict[str, Any]:
    context: Context = info.context
    await _check(context, task_run_id)
    counts, first, last = await foreign_runs.mapped_children(context.session.database, task_run_id)
    moments = [None if moment is None else from_micros(moment).isoformat() for moment in (first, last)]
    return {"state_counts": counts, "min_start_time": moments[0], "max_end_time": moments[1]}


async def _check(context: Context, task_run_id: str) -> None:
    if context.remit is not None:
        await context.remit.check_task_runs([task_run_id])


def _of_task_run(type_: Any, resolver: Any, doc: str) -> graphene.Field:
    return graphene.Field(type_, task_run_id=UUID(required=True), resolver=resolver, description=doc)


FIELDS = {
    "get_task_run_info": _of_task_run(
        object_type(
            "task_run_info",
            {"id": UUID(), "version": graphene.Int(), "state": graphene.String(), "serialized_state": JSON()},
            "Where a task run stands.",
        ),
        _info,
        "Where a task run stands.",
    ),
    "mapped_children": _of_task_run(
        object_type(
            "mapped_children",
            {"min_start_time": DateTime(), "max_end_time": DateTime(), "state_counts": JSON()},
            "The children of a mapped task run, summed up.",
        ),
        _mapped_children,
        "When the first child of a mapped task run began and the last one ended, and how many are in which state.",
    ),
}
