"""What a query asks for: the shapes that the API makes and `select` compiles. Fields are keyed by response key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from prefectlite.repository.traversal import Traversal

#: What the name of a relation, or of a table, ends in where it stands for what is counted of its rows.
AGGREGATE = "_aggregate"


class Column(msgspec.Struct, frozen=True):
    """A column's value."""

    name: str


class Constant(msgspec.Struct, frozen=True):
    """JSON text that is known beforehand."""

    json: str


class Count(msgspec.Struct, frozen=True):
    """The number of rows; of those that have something in `columns`, or of different values there. Only in an Aggregate."""

    columns: Sequence[str] = ()
    distinct: bool = False


class Summary(msgspec.Struct, frozen=True):
    """One value made of a column of all rows: the function is `min`, `max`, `sum` or `avg`. Only in an Aggregate."""

    function: str
    column: str


class Group(msgspec.Struct, frozen=True):
    """An object inside an Aggregate."""

    fields: Mapping[str, Counted]


class Nodes(msgspec.Struct, frozen=True):
    """The rows themselves; only in an Aggregate."""

    fields: Mapping[str, Field]


class Order(msgspec.Struct, frozen=True):
    """One term of an order: a column, reached through one-relations, and `asc`, `desc_nulls_last` and so on.

    What is counted of a many-relation may stand for the column: (`logs_aggregate`, `count`), (`logs_aggregate`, `max`,
    `timestamp`).
    """

    path: tuple[str, ...]
    direction: str


class Selection(msgspec.Struct, frozen=True):
    """Rows of a table: what to show of each (by response key), and which, in what order.

    With `distinct_on`, of rows that are equal in these columns only the first in order counts. With `key` it is the one
    row of that key, and the answer an object or null instead of a list. Rows of `utility_traversal`, which are in no table
    of the database, are made by `source`.
    """

    table: str
    fields: Mapping[str, Field]
    where: Mapping[str, Any] | None = None
    order_by: Sequence[Order] = ()
    limit: int | None = None
    offset: int | None = None
    key: str | None = None
    distinct_on: Sequence[str] = ()
    source: Traversal | None = None


class Aggregate(msgspec.Struct, frozen=True):
    """What is counted over the rows that `rows` picks; the fields of that Selection do not count."""

    rows: Selection
    fields: Mapping[str, Counted]


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
Counted = Count | Summary | Constant | Group | Nodes
Root = Selection | Aggregate | TaskRunCounts | Constant
