"""A function of several tasks, mapped as one."""

from __future__ import annotations

from typing import Any

import pytest

from prefectlite import Flow, Parameter, mapped, task, unmapped
from prefectlite.contexts import active_graph, inside_apply_map
from prefectlite.language.apply_map import apply_map
from prefectlite.language.control_flow import case, merge
from prefectlite.language.graph import Graph
from prefectlite.language.mapping import Annotation
from prefectlite.language.resource_manager import resource_manager
from tests.language.flow_graphs import constants, edges, results


class flat(Annotation):
    annotations = {"flattened": True}


@task
def root() -> int:
    return 7


@task
def ident(x: Any) -> Any:
    return x


@task
def inc(x: Any) -> Any:
    return x + 1


@task
def add(x: Any, y: Any) -> Any:
    return x + y


def test_every_task_of_the_function_is_mapped() -> None:
    with Flow("f") as flow:
        total = apply_map(lambda x, y: add(inc(x), y), ident([1, 2, 3]), unmapped(5))
        ident(total)
    assert edges(flow) == {("ident-1*", "inc-1", "x"), ("inc-1*", "add-1", "x"), ("add-1", "ident-2", "x")}
    assert constants(flow) == {"ident-1": {"x": [1, 2, 3]}, "add-1": {"y": 5}}
    assert results(flow, flow.run())["ident-2"] == [7, 8, 9]


def test_what_has_no_argument_runs_per_element_too() -> None:
    def several(x: Any, y: Any) -> Any:
        value = root()
        return inc(x), value, add(value, y)

    with Flow("f") as flow:
        made = apply_map(several, range(2), unmapped(Parameter("p", default=3)))
    assert [flow.slugs[task] for task in made] == ["inc-1", "root-1", "add-1"]
    assert edges(flow) == {
        ("Constant[range]-1*", "inc-1", "x"),
        ("p", "inc-1", None),
        ("Constant[range]-1*", "root-1", None),
        ("p", "root-1", None),
        ("root-1*", "add-1", "x"),
        ("p", "add-1", "y"),
    }
    found = results(flow, flow.run())
    assert (found["inc-1"], found["root-1"], found["add-1"]) == ([1, 2], [7, 7], [10, 10])


def test_branches_inside_and_outside() -> None:
    def branches(x: Any, y: Any = 1) -> Any:
        with case(x, 1):
            one = inc(x)
        with case(x, 2):
            two = inc(10)
        return merge(one, two)

    with Flow("f") as flow:
        condition = root()
        with case(condition, 7):
            apply_map(branches, ident([1, 2, 3]), y=[4, 5, 6])
    assert edges(flow) >= {
        ("Constant[list]-1*", "case(1)-1", None),
        ("Constant[list]-1*", "case(2)-1", None),
        ("ident-1*", "case(1)-1", "value"),
        ("ident-1*", "inc-1", "x"),
        ("case(1)-1*", "inc-1", None),
        ("case(2)-1*", "inc-2", None),
        ("case(7)-1", "ident-1", None),
    }
    assert ("case(7)-1", "inc-1", None) not in edges(flow)
    assert results(flow, flow.run())["Merge-1"][:2] == [2, 11]


def test_resources_inside() -> None:
    @resource_manager
    class Ten:
        def setup(self) -> int:
            return 10

        def cleanup(self, resource: int) -> None: ...

    def with_ten(x: Any) -> Any:
        with Ten() as ten:
            return add(x, ten)

    with Flow("f") as flow:
        apply_map(with_ten, [1, 2])
    assert edges(flow) == {
        ("[1, 2]-1*", "Ten-1", None),
        ("[1, 2]-1*", "add-1", "x"),
        ("Ten-1*", "Ten.setup-1", "mgr"),
        ("Ten-1*", "Ten.cleanup-1", "mgr"),
        ("Ten.setup-1*", "Ten.cleanup-1", "resource"),
        ("Ten.setup-1*", "add-1", "y"),
        ("add-1*", "Ten.cleanup-1", None),
    }
    assert results(flow, flow.run())["add-1"] == [11, 12]


def test_what_annotations_say() -> None:
    with Flow("f") as flow:
        whole = ident([3, 4])
        apply_map(add, flat(ident([[1], [2]])), unmapped(whole))
        apply_map(inc, mapped([1]))
    assert edges(flow) == {("ident-2**", "add-1", "x"), ("ident-1", "add-1", "y"), ("[1]-1*", "inc-1", "x")}


def test_collections_of_tasks_are_made_once_and_outside() -> None:
    with Flow("f") as flow:
        apply_map(add, [ident(1), 2], unmapped([ident(3), 4]))
    assert edges(flow) == {
        ("ident-1", "List-1", "arg_1"),
        ("ident-2", "List-2", "arg_1"),
        ("List-1*", "add-1", "x"),
        ("List-2", "add-1", "y"),
    }


def test_collections_and_constants_inside() -> None:
    with Flow("f") as flow:
        apply_map(lambda x: (add(inc(x), 5), ident([x, 3])), [1, 2])
        flow.add_task(inc)
    assert edges(flow) == {
        ("[1, 2]-1*", "inc-1", "x"),
        ("inc-1*", "add-1", "x"),
        ("[1, 2]-1*", "List-1", "arg_1"),
        ("List-1*", "ident-1", "x"),
    }
    assert constants(flow) == {"add-1": {"y": 5}, "List-1": {"arg_2": 3}}


def test_the_very_list_that_is_mapped_may_be_a_constant_too() -> None:
    names = [[1], [2]]
    with Flow("f") as flow:
        apply_map(lambda x: add(x, names), names)
    assert constants(flow) == {"add-1": {"y": names}}
    assert results(flow, flow.run())["add-1"] == [[1, [1], [2]], [2, [1], [2]]]


def test_arguments_that_are_not_used_still_count() -> None:
    with Flow("f") as flow:
        apply_map(lambda x, y: inc(5), ident([1, 2]), unmapped(ident(3)))
    assert edges(flow) == {("ident-1*", "inc-1", None), ("ident-2", "inc-1", None)}
    assert results(flow, flow.run())["inc-1"] == [6, 6]


def test_tasks_from_outside_and_parameters_inside() -> None:
    with Flow("f") as flow:
        outside = ident([10, 20])

        def function(x: Any) -> Any:
            with case(x, 1):
                add(x, outside)
            return add(x, Parameter("p", default=1))

        apply_map(function, [1, 2])
    assert not flow.upstream_tasks(outside)
    assert {up for up, _, key in edges(flow) if key == "y"} == {"ident-1*", "p"}
    assert flow.run().is_successful()


def test_what_it_returns() -> None:
    with Flow("f") as flow:
        values = ident([1])
        assert apply_map(lambda x: x, values) is values
        assert apply_map(lambda x: None, [1]) is None
        made = apply_map(lambda x: {"a": inc(x), "b": [inc(x)]}, [1])
    assert {flow.slugs[made["a"]], flow.slugs[made["b"][0]]} == {"inc-1", "inc-2"}


def test_with_a_flow_the_function_gets_one() -> None:
    flow = Flow("f")

    def function(x: Any, flow: Graph) -> Any:
        return inc(x, flow=flow)

    apply_map(function, [1, 2], flow=flow)
    assert edges(flow) == {("[1, 2]-1*", "inc-1", "x")}
    with pytest.raises(TypeError, match="unexpected keyword argument 'flow'"):
        apply_map(lambda x: inc(x), [1], flow=flow)


def test_the_shortest_argument_says_how_many() -> None:
    with Flow("f") as flow:
        apply_map(add, "abc", ("x", "y"))
    assert results(flow, flow.run())["add-1"] == ["ax", "by"]


@pytest.mark.parametrize(
    ("value", "kind"), [(3, "int"), (iter([1]), "list_iterator"), ({1}, "set"), (mapped(None), "NoneType")]
)
def test_what_cannot_be_mapped_over(value: Any, kind: str) -> None:
    with Flow("f"), pytest.raises(TypeError, match=f"Cannot map over non-sequence object of type `{kind}`"):
        apply_map(inc, value)


def test_without_a_flow() -> None:
    with pytest.raises(ValueError, match="Couldn't infer a flow in the current context"):
        apply_map(inc, [1])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: inc.map(x),
        lambda x: inc(mapped(x)),
        lambda x: inc(1).set_upstream(x, mapped=True),
        lambda x: apply_map(inc, x),
    ],
)
def test_nothing_inside_may_be_mapped_itself(function: Any) -> None:
    with (
        Flow("f") as flow,
        pytest.raises(ValueError, match="Cannot set `mapped=True` when running from inside a mapped context"),
    ):
        apply_map(function, [1])
    assert not flow.tasks
    assert not inside_apply_map.get()


def test_a_function_that_raises_leaves_everything_as_it_was() -> None:
    values = ident.copy()
    with Flow("f") as flow:
        with pytest.raises(ZeroDivisionError):
            apply_map(lambda x: 1 / 0, [1])
        assert active_graph.get() is flow
        assert not inside_apply_map.get()
        with case(values.bind([1]), 1):
            ident(2)
    assert len(flow.tasks) == 3
