"""What a query asks for: the shapes that the API makes and `select` compiles. Fields are keyed by response key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class Column(msgspec.Struct, frozen=True):
    """A column's value."""

    name: str


class Constant(msgspec.Struct, frozen=True):
    """JSON text that is known beforehand."""

    json: str


class Count(msgspec.Struct, frozen=True):
    """The number of rows; only inside an Aggregate."""


class Group(msgspec.Struct, frozen=True):
    """An object inside an Aggregate."""

    fields: Mapping[str, Count | Constant | Group]


class Order(msgspec.Struct, frozen=True):
    """One term of an order: a column, reached through one-relations, and `asc`, `desc_nulls_last` and so on."""

    path: tuple[str, ...]
    direction: str


class Selection(msgspec.Struct, frozen=True):
    """Rows of a table: what to show of each (by response key), and which, in what order.

    With `key` it is the one row of that key, and the answer an object or null instead of a list.
    """

    table: str
    fields: Mapping[str, Field]
    where: Mapping[str, Any] | None = None
    order_by: Sequence[Order] = ()
    limit: int | None = None
    offset: int | None = None
    key: str | None = None


class Aggregate(msgspec.Struct, frozen=True):
    """What is counted over the rows of a table that fulfil `where`."""

    table: str
    fields: Mapping[str, Count | Constant | Group]
    where: Mapping[str, Any] | None = None


class Related(msgspec.Struct, frozen=True):
    """The rows of a relation; for a one-relation only the fields of the Selection count."""

    relation: str
    rows: Selection | Aggregate


class TaskRunCounts(msgspec.Struct, frozen=True):
    """How many task runs of a flow run are in which state, task by task.

    Children of mapped tasks are counted and the mapped tasks' own runs are not. Columns: `task_id`, `state`, `count`.
    """

    flow_run_id: str
    fields: Mapping[str, Column | Constant]


Field = Column | Constant | Related
Root = Selection | Aggregate | TaskRunCounts | Constant
