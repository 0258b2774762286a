from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import Task
from prefectlite.errors import FlowCycleError, FlowError
from prefectlite.language.graph import Edge, Graph


class Step(Task):
    def run(self, **inputs: Any) -> None:
        return None


def chain(graph: Graph, *names: str) -> list[Task]:
    steps: list[Task] = [Step(name) for name in names]
    for one, other in pairwise(steps):
        graph.add_edge(one, other)
    return steps


@st.composite
def dags(draw: st.DrawFn) -> tuple[Graph, list[Task], set[tuple[int, int]]]:
    """A graph without cycles whose tasks and edges were added in any order."""
    count = draw(st.integers(1, 25))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
    edges = {(min(pair), max(pair)) for pair in draw(st.lists(pairs, max_size=60) if count > 1 else st.just([]))}
    names = draw(st.permutations(range(count)))
    steps: list[Task] = [Step(f"t{name}") for name in names]
    graph = Graph("random")
    for number in draw(st.permutations(range(count))):
        graph.add_task(steps[number])
    for one, other in draw(st.permutations(sorted(edges))):
        graph.add_edge(steps[one], steps[other], key=draw(st.none() | st.just(f"k{one}")))
    return graph, steps, edges


@settings(deadline=None)
@given(dags())
def test_sorted_tasks_is_a_topological_order(made: tuple[Graph, list[Task], set[tuple[int, int]]]) -> None:
    graph, steps, edges = made
    order = graph.sorted_tasks()
    assert len(order) == len(steps)
    assert set(order) == set(steps)
    place = {task: number for number, task in enumerate(order)}
    assert all(place[steps[one]] < place[steps[other]] for one, other in edges)
    assert graph.sorted_tasks() == order


@settings(deadline=None)
@given(dags())
def test_questions_agree_with_the_edges(made: tuple[Graph, list[Task], set[tuple[int, int]]]) -> None:
    graph, steps, edges = made
    for number, step in enumerate(steps):
        assert graph.upstream_tasks(step) == {steps[one] for one, other in edges if other == number}
        assert graph.downstream_tasks(step) == {steps[other] for one, other in edges if one == number}
        assert graph.edges_to(step) == set(graph.incoming(step)) == {e for e in graph.edges if e.downstream_task is step}
        assert graph.edges_from(step) == {e for e in graph.edges if e.upstream_task is step}
    assert graph.root_tasks() == {step for step in steps if not graph.upstream_tasks(step)}
    assert graph.terminal_tasks() == {step for step in steps if not graph.downstream_tasks(step)}


@settings(deadline=None)
@given(dags(), st.data())
def test_a_cycle_is_reported_with_its_path(
    made: tuple[Graph, list[Task], set[tuple[int, int]]], data: st.DataObject
) -> None:
    graph, steps, _ = made
    length = data.draw(st.integers(2, 4))
    loop = [Step(f"c{number}") for number in range(length)]
    for number, step in enumerate(loop):
        graph.add_edge(step, loop[(number + 1) % length])
    graph.add_edge(steps[0], loop[0])
    graph.add_edge(loop[-1], Step("after"))
    with pytest.raises(FlowCycleError) as caught:
        graph.sorted_tasks()
    head, _, path = str(caught.value).partition("! ")
    assert head == "Cycle found; flows must be acyclic"
    names = path.split(" → ")
    assert names[0] == names[-1]
    assert sorted(names[1:]) == sorted(step.name for step in loop)
    following = [(int(one[1:]) + 1) % length == int(other[1:]) for one, other in pairwise(names)]
    assert all(following)


def test_a_long_chain_is_sorted_without_recursion() -> None:
    graph = Graph("long")
    steps = chain(graph, *(f"t{n}" for n in range(3_000)))
    assert list(graph.sorted_tasks()) == steps


@pytest.mark.parametrize("question", ["edges_to", "edges_from", "incoming", "upstream_tasks", "downstream_tasks"])
def test_a_task_of_another_flow_is_named(question: str) -> None:
    with pytest.raises(FlowError, match='Task <Task: z> was not found in Flow <Graph: name="g">'):
        getattr(Graph("g"), question)(Step("z"))


def test_finding_tasks() -> None:
    graph = Graph("g")
    a, b, c = Step("a", tags={"x", "y"}), Step("a", slug="s"), Step("c", tags={"x"})
    for task in (a, b, c):
        graph.add_task(task)
    assert graph.get_tasks() == [a, b, c]
    assert graph.get_tasks(name="a") == [a, b]
    assert graph.get_tasks(slug="s") == [b]
    assert graph.get_tasks(tags=["x"]) == [a, c]
    assert graph.get_tasks(tags=["x", "y"]) == [a]
    assert graph.get_tasks(name="a", tags=["y"], slug="s") == []


def test_what_is_given_out_is_a_copy() -> None:
    graph = Graph("g")
    a, b = chain(graph, "a", "b")
    graph.tasks.clear()
    graph.edges.clear()
    graph.edges_to(b).clear()
    graph.incoming(b).clear()
    graph.reference_tasks().clear()
    assert (len(graph.tasks), len(graph.edges), graph.upstream_tasks(b)) == (2, 1, {a})


@settings(deadline=None)
@given(dags(), st.data())
def test_sorted_from_some_tasks_on(made: tuple[Graph, list[Task], set[tuple[int, int]]], data: st.DataObject) -> None:
    graph, steps, edges = made
    roots = data.draw(st.lists(st.sampled_from(steps), min_size=1, max_size=3))
    reached, size = set(roots), 0
    while size < len(reached):
        size = len(reached)
        reached |= {steps[other] for one, other in edges if steps[one] in reached}
    order = graph.sorted_tasks(root_tasks=roots)
    assert set(order) == reached
    assert len(order) == len(reached)
    place = {task: number for number, task in enumerate(order)}
    for one, other in edges:
        if steps[one] in reached:
            assert place[steps[one]] < place[steps[other]]


def test_sorted_from_no_tasks_on_is_sorted() -> None:
    graph = Graph("g")
    steps = chain(graph, "a", "b", "c")
    assert graph.sorted_tasks(root_tasks=[]) == graph.sorted_tasks(root_tasks=None) == tuple(steps)
    assert graph.sorted_tasks(root_tasks=[steps[1]]) == tuple(steps[1:])
    assert list(graph) == steps
    with pytest.raises(FlowError, match="was not found in Flow"):
        graph.sorted_tasks(root_tasks=[Step("z")])
    with pytest.raises(TypeError, match="Task is not iterable"):
        graph.sorted_tasks(root_tasks=steps[0])


def test_all_edges_by_task() -> None:
    graph = Graph("g")
    a, b, c = chain(graph, "a", "b", "c")
    assert graph.all_upstream_edges() == {a: set(), b: {Edge(a, b)}, c: {Edge(b, c)}}
    assert graph.all_downstream_edges() == {a: {Edge(a, b)}, b: {Edge(b, c)}, c: set()}


def test_a_list_of_ten_thousand_is_added_in_no_time() -> None:
    graph = Graph("g")
    gather = Step("gather")
    for number in range(10_000):  # with a look at all edges for each new one this would take a minute
        graph.add_edge(Step("s"), gather, key=f"arg_{number}")
    assert len(graph.incoming(gather)) == 10_000
