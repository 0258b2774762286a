"""Edges: which task waits for which, and for what."""

from __future__ import annotations

import keyword
from typing import TYPE_CHECKING, Any

from prefectlite.errors import FlowError
from prefectlite.language.building import as_task
from prefectlite.language.mapping import Annotation

if TYPE_CHECKING:
    from prefectlite.language.graph import Graph
    from prefectlite.language.task import Task


class Edge:
    """`downstream_task` waits for `upstream_task` and, with a `key`, receives its result as that argument of `run`.

    With `mapped` it receives one element per child, with `flattened` the elements of the result's elements. Either end may
    be a plain value, which becomes a task (in `flow`, else in the flow being written), or carry an annotation, which wins
    over `mapped`. Immutable; equal when all five fields are. Raises FlowError for a key that is no argument name.
    """

    __slots__ = ("_hash", "downstream_task", "flattened", "key", "mapped", "upstream_task")

    upstream_task: Task
    downstream_task: Task

    def __init__(
        self,
        upstream_task: Any,
        downstream_task: Any,
        key: str | None = None,
        mapped: bool | None = None,
        flattened: bool | None = None,
        flow: Graph | None = None,
    ) -> None:
        if upstream_task is downstream_task:
            raise FlowError(f"Edges can not connect a task to itself. {upstream_task} was given as both ends")
        if key is not None and not (isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)):
            raise FlowError(f'Key must be a valid identifier (received "{key}")')
        self.key, self.mapped, self.flattened = key, bool(mapped), bool(flattened)
        for end in (downstream_task, upstream_task):
            if isinstance(end, Annotation):
                self.mapped = end.annotations.get("mapped", self.mapped)
                self.flattened = end.annotations.get("flattened", self.flattened)
        self.upstream_task, self.downstream_task = as_task(upstream_task, flow), as_task(downstream_task, flow)
        self._hash = hash(self._fields())

    @property
    def tasks(self) -> set[Task]:
        """Both ends."""
        return {self.upstream_task, self.downstream_task}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Edge) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:  # the hash is made of addresses: elsewhere it is another one
        return Edge, (self.upstream_task, self.downstream_task, self.key, self.mapped, self.flattened)

    def _fields(self) -> tuple[int, int, str | None, bool, bool]:
        return id(self.upstream_task), id(self.downstream_task), self.key, self.mapped, self.flattened

    def __repr__(self) -> str:
        ends = f"{self.upstream_task.name} to {self.downstream_task.name}"
        return f"<Edge(key={self.key}, mapped={self.mapped}, flattened={self.flattened}): {ends}>"
