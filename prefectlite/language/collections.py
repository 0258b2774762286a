"""Tasks that stand for plain values in a flow: constants, and collections of the results of other tasks."""

from __future__ import annotations

from typing import Any

from prefectlite import registry
from prefectlite.language import building
from prefectlite.language.graph import Graph
from prefectlite.language.task import Task


class Constant(Task):
    """A task whose result is `value`; it is known before the run and never executed."""

    is_constant = True

    def __init__(self, value: Any, name: str | None = None, **kwargs: Any) -> None:
        shown = repr(value)
        super().__init__(name=name or (shown if len(shown) <= 8 else f"Constant[{type(value).__name__}]"), **kwargs)
        self.value = value

    def run(self) -> Any:
        return self.value


class _Collection(Task):
    """A collection of the members' results, in the order they were written."""

    auto_generated = True

    async def run(self, **members: Any) -> Any:
        raise NotImplementedError

    def of(self, members: Any, flow: Graph | None) -> Task:
        """This task, bound to `members` in `flow`, else in the flow being written."""
        arguments = {f"arg_{number}": member for number, member in enumerate(members, 1)}
        return self.bind(flow=flow, **arguments)  # type: ignore[no-any-return]


class List(_Collection):
    async def run(self, **members: Any) -> list[Any]:
        return [members[f"arg_{number}"] for number in range(1, len(members) + 1)]


class Tuple(_Collection):
    async def run(self, **members: Any) -> tuple[Any, ...]:
        return tuple(members[f"arg_{number}"] for number in range(1, len(members) + 1))


class Set(_Collection):
    async def run(self, **members: Any) -> set[Any]:
        return set(members.values())

    def of(self, members: Any, flow: Graph | None) -> Task:
        # A set has no order of its own: without one, every process would build another graph of the same code.
        place = {task: number for number, task in enumerate(building.graph_for(self, flow).slugs)}
        return super().of(sorted(members, key=lambda member: place.get(member, len(place))), flow)


class Dict(Task):
    """A dict of the results of `keys` and `values`."""

    auto_generated = True

    async def run(self, keys: list[Any], values: list[Any]) -> dict[Any, Any]:  # type: ignore[override]
        if len(keys) != len(values):
            raise ValueError("A different number of keys and values was provided!")
        return dict(zip(keys, values, strict=True))


def make_known() -> None:
    """Let `building.as_task` know the tasks of this module."""
    registry.constant_task[:] = [Constant]
    registry.collection_tasks.update(
        {
            list: lambda value, flow: List().of(value, flow),
            tuple: lambda value, flow: Tuple().of(value, flow),
            set: lambda value, flow: Set().of(value, flow),
            dict: lambda value, flow: Dict().bind(
                keys=building.as_task(list(value.keys()), flow),
                values=building.as_task(list(value.values()), flow),
                flow=flow,
            ),
        }
    )
