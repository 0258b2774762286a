from __future__ import annotations

import collections
import dataclasses
from typing import Any

import pytest

from prefectlite import Flow, Parameter, Task, mapped, task, unmapped
from prefectlite.contexts import active_graph
from prefectlite.errors import FlowError
from prefectlite.language.building import as_task, graph_for, is_constant, is_task
from prefectlite.language.collections import Constant, Dict, List, Set, Tuple

Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Box:
    inside: Any


@task
def one() -> int:
    return 1


@task
def show(x: Any, **more: Any) -> Any:
    return x


def test_the_flow_is_the_one_given_else_the_one_being_written() -> None:
    given = Flow("given")
    assert graph_for(one, given) is given
    with Flow("outer") as outer:
        assert graph_for(one, given) is given
        assert graph_for(one, None) is outer
        with Flow("inner") as inner:
            assert graph_for(one, None) is inner
        assert graph_for(one, None) is outer
    with pytest.raises(FlowError, match="Could not infer an active Flow context"):
        graph_for(one, None)
    with pytest.raises(FlowError, match="No Flow was passed, and could not infer an active Flow context"):
        graph_for(None, None)
    with pytest.raises(TypeError, match="`flow` must be a Flow, not 5"):
        one.bind(flow=5)


def test_a_block_that_raises_is_left() -> None:
    with pytest.raises(ZeroDivisionError), Flow("f"):
        raise ZeroDivisionError
    assert active_graph.get() is None


def test_what_is_a_task() -> None:
    assert is_task(one)
    assert is_task(Parameter("p"))
    assert is_task(Constant(1))
    for other in (1, None, "one", [one], unmapped(one), Task, Constant, Point, object()):
        assert not is_task(other)


@pytest.mark.parametrize(
    "value", [1, None, "x", [], [[1], (2, {3}), {"k": [4]}], {one: 1}, Box(one), Task, lambda: one, frozenset([1])]
)
def test_constants(value: Any) -> None:
    assert is_constant(value)
    made = as_task(value)
    assert isinstance(made, Constant)
    assert made.value is value


@pytest.mark.parametrize(
    "value", [one, [one], (1, one), {one}, {"k": one}, [[{"k": (one,)}]], unmapped(1), [unmapped(1)], Point(one, 1)]
)
def test_what_hides_a_task_is_no_constant(value: Any) -> None:
    assert not is_constant(value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([one], List),
        ((one,), Tuple),
        ({one}, Set),
        ({"k": one}, Dict),
        (Point(one, 1), Tuple),
        (collections.OrderedDict(k=one), Dict),
        (collections.defaultdict(list, k=one), Dict),
        ([unmapped(1)], List),
    ],
)
def test_collections_become_tasks(value: Any, kind: type[Task]) -> None:
    with Flow("f") as flow:
        made = as_task(value)
    assert type(made) is kind
    assert made in flow.tasks
    assert made.auto_generated
    flow.validate()


def test_a_task_is_itself() -> None:
    assert as_task(one) is one
    assert as_task(unmapped(one)) is one
    assert as_task(mapped(unmapped(one))) is one


def test_constants_are_no_nodes() -> None:
    with Flow("f") as flow:
        shown = show(1, y=[1, {"k": (2,)}], z=None)
    assert flow.tasks == {shown}
    assert flow.constants[shown] == {"x": 1, "y": [1, {"k": (2,)}], "z": None}


def test_a_constant_that_is_mapped_or_waited_for_is_a_node() -> None:
    with Flow("f") as flow:
        shown = show.map([1, 2], upstream_tasks=[unmapped(3)])
    assert sorted((edge.key or "", edge.mapped, edge.upstream_task.value) for edge in flow.edges_to(shown)) == [
        ("", False, 3),
        ("x", True, [1, 2]),
    ]
    assert flow.constants[shown] == {}


def test_a_class_of_tasks_is_a_constant() -> None:
    with Flow("f") as flow:
        shown = show(Task)
    assert flow.constants[shown] == {"x": Task}


def test_annotations_win_over_mapping() -> None:
    with Flow("f") as flow:
        source = one()
        shown = show.map(source, y=unmapped(source), z=unmapped(5))
        plain = show(mapped(source), y=source)
    assert {edge.key: edge.mapped for edge in flow.edges_to(shown)} == {"x": True, "y": False}
    assert flow.constants[shown] == {"z": 5}
    assert {edge.key: edge.mapped for edge in flow.edges_to(plain)} == {"x": True, "y": False}


@pytest.mark.parametrize("first", [1, one])
@pytest.mark.parametrize("second", [1, 2, one])
def test_an_argument_is_bound_once(first: Any, second: Any) -> None:
    with Flow("f") as flow:
        shown = show(one.copy() if first is one else first)
        with pytest.raises(
            FlowError, match=r'^Argument "x" for task <Task: show> has already been assigned in this flow. If'
        ):
            shown.bind(one.copy() if second is one else second)
    assert len(flow.edges_to(shown)) + len(flow.constants[shown]) == 1


def test_keyword_arguments_are_spread() -> None:
    with Flow("f") as flow:
        shown = show(one(), a=one(), b=2)
    assert {edge.key for edge in flow.edges_to(shown)} == {"x", "a"}
    assert flow.constants[shown] == {"b": 2}
    with Flow("g"), pytest.raises(FlowError, match='Key must be a valid identifier \\(received "a-b"\\)'):
        show(1, **{"a-b": one()})
