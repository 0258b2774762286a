"""Tasks before, or after, others in their flow, however far: rows that are in no table, made of the edges."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from prefectlite.errors import BadRequest
from prefectlite.repository.statement import Statement
from prefectlite.repository.table import Kind
from prefectlite.repository.where import MAX_LIST, bound

#: How far it is gone if nothing else is said, and how far at the most.
DEPTH, MAX_DEPTH = 50, 1_000


class Traversal(msgspec.Struct, frozen=True):
    """The tasks that are reached from `start_task_ids`, those among them, in at most `depth_limit` steps along edges.

    None for the ids are no tasks at all, and None for the limit is DEPTH.
    """

    start_task_ids: Sequence[str] | None
    depth_limit: int | None = None
    is_downstream: bool = True


def rows(statement: Statement, traversal: Traversal) -> str:
    """The statement that gives (task_id, depth), each task once, by the longest way to it. Raises BadRequest."""
    ids = traversal.start_task_ids or ()
    if len(ids) > MAX_LIST:
        raise BadRequest(f"start_task_ids: a list has at most {MAX_LIST:,} values; ask in several parts")
    limit = DEPTH if traversal.depth_limit is None else traversal.depth_limit
    if not 0 <= limit <= MAX_DEPTH:
        raise BadRequest(f"depth_limit: {limit} is not between 0 and {MAX_DEPTH:,}")
    here, there = "upstream_task_id", "downstream_task_id"
    if not traversal.is_downstream:
        here, there = there, here
    known = [bound(Kind.ID, one, f"start_task_ids[{n}]") for n, one in enumerate(ids)]
    begin = statement.dialect.among("task.id", statement.bind(statement.dialect.listed(known)))
    # A task is kept once for each length of a way to it, so there are never more rows than tasks times steps.
    return (
        f"WITH RECURSIVE way (task_id, depth) AS (SELECT task.id, 0 FROM task WHERE {begin}"
        f" UNION SELECT edge.{there}, way.depth + 1 FROM way JOIN edge ON edge.{here} = way.task_id"
        f" WHERE way.depth < {limit}) SELECT task_id, max(depth) AS depth FROM way GROUP BY task_id"
    )
