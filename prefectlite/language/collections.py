"""Tasks that stand for plain values in a flow: constants, and collections of the results of other tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from prefectlite import registry
from prefectlite.language import building
from prefectlite.language.graph import Graph
from prefectlite.language.task import Task
from prefectlite.shown import told


class Constant(Task):
    """A task whose result is `value`; it is known before the run and never executed."""

    is_constant = True

    def __init__(self, value: Any, name: str | None = None, **kwargs: Any) -> None:
        words = told(value)
        super().__init__(
            name=name or (words if len(words) <= 8 and words.isprintable() else f"Constant[{type(value).__name__}]"),
            **kwargs,
        )
        self.value = value

    def run(self) -> Any:
        return self.value


class _Collection(Task):
    """A collection of the members' results, in the order they were written."""

    async def run(self, **members: Any) -> Any:
        raise NotImplementedError

    def bind(
        self,
        *members: Any,
        mapped: bool = False,
        upstream_tasks: Iterable[Any] | None = None,
        flow: Graph | None = None,
        **kwargs: Any,
    ) -> Self:
        """This very task, bound to these members in the flow being written (or `flow`)."""
        named = {f"arg_{number}": member for number, member in enumerate(members, 1)}
        if kwargs:
            raise TypeError(f"{self}: members have no names, so {', '.join(kwargs)} cannot be given")
        return super().bind(mapped=mapped, upstream_tasks=upstream_tasks, flow=flow, **named)


class List(_Collection):
    async def run(self, **members: Any) -> list[Any]:
        return [members[key] for key in sorted(members, key=_number)]


class Tuple(_Collection):
    async def run(self, **members: Any) -> tuple[Any, ...]:
        return tuple(members[key] for key in sorted(members, key=_number))


class Set(_Collection):
    async def run(self, **members: Any) -> set[Any]:
        return set(members.values())


def _number(key: str) -> int:
    return int(key.removeprefix("arg_"))


class Dict(Task):
    """A dict of the results of `keys` and `values`."""

    async def run(self, keys: Sequence[Any], values: Sequence[Any]) -> dict[Any, Any]:
        if len(keys) != len(values):
            raise ValueError("A different number of keys and values were provided!")
        return dict(zip(keys, values, strict=True))


def make_known() -> None:
    """Let `building.as_task` know the tasks of this module."""
    registry.constant_task[:] = [Constant]
    registry.collection_tasks.update(
        {
            list: lambda value, flow: _generated(List()).bind(*value, flow=flow),
            tuple: lambda value, flow: _generated(Tuple()).bind(*value, flow=flow),
            set: lambda value, flow: _generated(made := Set()).bind(*_in_order(value, made, flow), flow=flow),
            dict: lambda value, flow: _generated(Dict()).bind(list(value.keys()), list(value.values()), flow=flow),
        }
    )


def _generated(task: Task) -> Task:
    task.auto_generated = True
    return task


def _in_order(members: set[Any], task: Task, flow: Graph | None) -> list[Any]:
    # A set has no order of its own: without one, every process would build another graph of the same code.
    place = {task: number for number, task in enumerate(building.graph_for(task, flow).slugs)}
    return sorted(members, key=lambda member: place.get(member, len(place)))
