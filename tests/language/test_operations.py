from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest

from prefectlite import Flow, Task, mapped, task, unmapped
from prefectlite.errors import FlowError
from prefectlite.language.collections import List
from prefectlite.language.graph import Edge
from prefectlite.language.operators import GetItem


class Step(Task):
    def run(self, x: Any = None, y: Any = None) -> Any:
        return x


# -- operators ------------------------------------------------------------------------------------------------------------

TWO_SIDED = [
    (operator.add, "Add"),
    (operator.sub, "Sub"),
    (operator.mul, "Mul"),
    (operator.truediv, "Div"),
    (operator.floordiv, "FloorDiv"),
    (operator.mod, "Mod"),
    (operator.pow, "Pow"),
    (operator.and_, "And"),
]
COMPARISONS = [
    (operator.lt, "LessThan", "GreaterThan"),
    (operator.le, "LessThanOrEqual", "GreaterThanOrEqual"),
    (operator.gt, "GreaterThan", "LessThan"),
    (operator.ge, "GreaterThanOrEqual", "LessThanOrEqual"),
]
METHODS = [(Task.is_equal, "Equal"), (Task.is_not_equal, "NotEqual"), (Task.or_, "Or")]


@pytest.mark.parametrize(("operate", "name"), [*TWO_SIDED, *((o, name) for o, name, _ in COMPARISONS), *METHODS])
def test_an_operator_makes_a_task(operate: Callable[[Any, Any], Any], name: str) -> None:
    with Flow("f") as flow:
        a, b = Step("a")(), Step("b")()
        made, with_value = operate(a, b), operate(a, 3)
    assert (made.name, type(made).__name__, made.auto_generated, made.is_async) == (name, name, False, True)
    assert flow.edges_to(made) == {Edge(a, made, "x"), Edge(b, made, "y")}
    assert flow.edges_to(with_value) == {Edge(a, with_value, "x")}
    assert flow.constants[with_value] == {"y": 3}


@pytest.mark.parametrize(("operate", "name"), TWO_SIDED)
def test_the_value_may_come_first(operate: Callable[[Any, Any], Any], name: str) -> None:
    with Flow("f") as flow:
        a = Step("a")()
        made = operate(3, a)
    assert made.name == name
    assert flow.edges_to(made) == {Edge(a, made, "y")}
    assert flow.constants[made] == {"x": 3}


@pytest.mark.parametrize(("operate", "_", "reflected"), COMPARISONS)
def test_a_comparison_is_turned_round(operate: Callable[[Any, Any], Any], _: str, reflected: str) -> None:
    with Flow("f") as flow:
        a = Step("a")()
        made = operate(3, a)
    assert made.name == reflected
    assert flow.edges_to(made) == {Edge(a, made, "x")}
    assert flow.constants[made] == {"y": 3}


def test_not() -> None:
    with Flow("f") as flow:
        a = Step("a")()
        made = a.not_()
    assert (made.name, flow.edges_to(made)) == ("Not", {Edge(a, made, "x")})


def test_operators_in_place_are_the_same() -> None:
    with Flow("f"):
        a = Step("a")()
        a += 1
    assert a.name == "Add"


@pytest.mark.parametrize(
    "operate",
    [operator.matmul, operator.xor, operator.lshift, divmod]
    + [lambda a, b, o=o: o(a) for o in (operator.neg, operator.pos, operator.invert, abs, len, int)],
)
def test_there_are_no_other_operators(operate: Callable[[Any, Any], Any]) -> None:
    with Flow("f"), pytest.raises(TypeError):
        operate(Step("a")(), Step("b")())


@pytest.mark.parametrize(
    "attempt",
    [lambda a: a + 1, lambda a: 1 + a, lambda a: a < 1, lambda a: a[0], lambda a: a.not_(), lambda a: a.is_equal(1)],
)
def test_operators_outside_a_flow_are_explained(attempt: Callable[[Task], Any]) -> None:
    with pytest.raises(FlowError, match=r"^Could not infer an active Flow context while creating edge to <Task: "):
        attempt(Step("a"))


# -- traps ----------------------------------------------------------------------------------------------------------------


def test_tasks_are_compared_themselves() -> None:
    with Flow("f") as flow:
        a, b = Step("a")(), Step("a")()
        assert (a == a, a == b, a != b, a == 1) == (True, False, True, False)
        assert a in [b, a]
        assert {a: 1}[a] == 1
        assert hash(a) == object.__hash__(a)
    assert flow.tasks == {a, b}


def test_a_task_is_always_true() -> None:
    with Flow("f") as flow:
        a, b = Step("a")(), Step("b")()
        assert bool(a) is True
        assert (a and b) is b
        assert (a or b) is a
        between = 0 < a < 10  # Python's meaning: (0 < a) and (a < 10)
    assert between.name == "LessThan"
    assert flow.constants[between] == {"y": 10}
    assert {task.name for task in flow.tasks} == {"a", "b", "GreaterThan", "LessThan"}


def test_the_bar_is_an_order_not_an_or() -> None:
    with Flow("f") as flow:
        a, b, c = Step("a"), Step("b"), Step("c")
        assert (a | b | c) is c
    assert flow.edges == {Edge(a, b), Edge(b, c)}
    assert list(flow.slugs.values()) == ["a-1", "b-1", "c-1"]


def test_the_bar_returns_what_it_is_given() -> None:
    with Flow("f") as flow:
        a, b = Step("a"), Step("b")
        assert (a | 5) == 5
        behind = [b]
        assert (a | behind) is behind
        assert (5 | a) is a
        assert ([b] | a) is a
    assert {edge.upstream_task.name for edge in flow.edges_to(a)} == {"5", "List"}
    assert {edge.downstream_task.name for edge in flow.edges_from(a)} == {"5", "List"}
    with pytest.raises(FlowError, match=r"^No Flow was passed, and could not infer an active Flow context\.$"):
        _ = Step("a") | Step("b")


# -- elements -------------------------------------------------------------------------------------------------------------


def test_an_element_is_a_task() -> None:
    with Flow("f") as flow:
        a, key = Step("a")(), Step("key")()
        elements = [a[0], a["k"], a[-1], a[1:2], a[key], a[0]["b"]]
    assert [element.name for element in elements] == [
        "a[0]", "a['k']", "a[-1]", "a[slice(1, 2, None)]", "a[key]", "a[0]['b']",
    ]  # fmt: skip
    assert all(type(element) is GetItem and element.is_async for element in elements)
    assert flow.edges_to(elements[0]) == {Edge(a, elements[0], "task_result")}
    assert flow.constants[elements[0]] == {"key": 0}
    assert flow.edges_to(elements[4]) == {Edge(a, elements[4], "task_result"), Edge(key, elements[4], "key")}


def test_an_element_is_kept_where_the_whole_is() -> None:
    result = object()
    with Flow("f"):
        element = Step("a", checkpoint=False, result=result, tags=["t"])()[0]
        total = Step("a", checkpoint=False, result=result)() + 1
    assert (element.checkpoint, element.result, element.tags, element.auto_generated) == (False, result, set(), False)
    assert (total.checkpoint, total.result) == (None, None)


def test_a_task_of_a_known_number_of_results_is_unpacked() -> None:
    @task
    def pair() -> tuple[int, str]:
        return 1, "a"

    with Flow("f"):
        first, second = pair()
        assert [item.name for item in (first, second)] == ["pair[0]", "pair[1]"]
        assert [item.name for item in Step("s", nout=3)()] == ["s[0]", "s[1]", "s[2]"]
        assert list(Step("s", nout=0)()) == []


def test_a_task_of_unknown_results_is_not_unpacked() -> None:
    words = (
        r"^Task is not iterable\. If your task returns multiple results, pass `nout` to the task decorator/constructor, or"
        r" provide a `Tuple` return-type annotation to your task\.$"
    )
    with Flow("f"):
        one = Step()()
        for attempt in (lambda: list(one), lambda: iter(one), lambda: [*one]):
            with pytest.raises(TypeError, match=words):
                attempt()


def test_there_are_no_attributes_of_results() -> None:
    with Flow("f"), pytest.raises(AttributeError, match="no attribute 'shape'"):
        _ = Step()().shape  # type: ignore[attr-defined]


# -- who waits for whom ---------------------------------------------------------------------------------------------------


def test_setting_dependencies() -> None:
    with Flow("f") as flow:
        a, b, c = Step("a"), Step("b"), Step("c")
        assert b.set_upstream(a, key="x", mapped=True) is b
        assert b.set_downstream(c, key="y", mapped=True) is b
        assert c.set_upstream(5, key="x") is c
        assert c.set_upstream(mapped(a)) is c
    assert flow.edges == {Edge(a, b, "x", True), Edge(b, c, "y", True), Edge(a, c, None, True)}
    assert flow.constants == {c: {"x": 5}}
    assert list(flow.slugs.values()) == ["b-1", "a-1", "c-1"]


def test_setting_many_dependencies() -> None:
    flow = Flow("f")
    task, up, down, value = Step("t"), Step("u"), Step("d"), Step("v")
    made = task.set_dependencies(
        flow, upstream_tasks=[up, unmapped(value)], downstream_tasks=[down], keyword_tasks={"x": value, "y": 7}, mapped=True
    )
    assert made is task
    seven = next(each for each in flow.tasks if each.is_constant)
    assert flow.edges == {
        Edge(up, task, None, True),
        Edge(value, task),
        Edge(task, down),
        Edge(value, task, "x", True),
        Edge(seven, task, "y", True),
    }
    alone = Step()
    assert alone.set_dependencies(flow) is alone
    assert alone in flow.tasks


@pytest.mark.parametrize("value", [5, [1, 2]])
def test_a_value_may_wait(value: Any) -> None:
    with Flow("f") as flow:
        a = Step("a")
        a.set_downstream(value)
    (edge,) = flow.edges
    assert (edge.upstream_task, edge.downstream_task.value) == (a, value)


def test_piping() -> None:
    def note(step: Task, **more: Any) -> Any:
        return step, more

    with Flow("f") as flow:
        a = Step("a")()
        piped = a.pipe(Step("b"), y=2)
        assert a.pipe(note, task=1, x=2) == (a, {"task": 1, "x": 2})
        many = a.pipe(Step("c").map)
        assert a.pipe(unmapped) is a
        again = a.pipe(mapped).pipe(Step("d"))
        built = Step("e").pipe(List())
        with pytest.raises(FlowError, match=r'^You cannot use the keyword argument "self" in .pipe\.$'):
            a.pipe(Step("b"), **{"self": 2})
        with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
            a.pipe(Step("b"), 2)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="not callable"):
            a.pipe(5)  # type: ignore[arg-type]
    assert flow.edges_to(piped) == {Edge(a, piped, "x")}
    assert flow.constants[piped] == {"y": 2}
    assert flow.edges_to(many) == {Edge(a, many, "x", True)}
    assert flow.edges_to(again) == {Edge(a, again, "x")}
    assert {edge.key for edge in flow.edges_to(built)} == {"arg_1"}
