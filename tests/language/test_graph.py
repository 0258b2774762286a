from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import cloudpickle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import Parameter, Task
from prefectlite.errors import DuplicateSlugError, FlowCycleError, FlowError, FlowValidationError
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


def test_a_task_joins_once() -> None:
    graph, step = Graph("g"), Step("a")
    assert graph.add_task(step) is step
    revision = graph.revision
    assert graph.add_task(step) is step
    assert (graph.revision, graph.tasks) == (revision, {step})


@pytest.mark.parametrize("what", [5, "a", None, Step, [Step("a")]])
def test_only_tasks_join(what: Any) -> None:
    with pytest.raises(TypeError, match="Tasks must be instances of Task, not "):
        Graph("g").add_task(what)


def test_slugs_count_per_name_and_tags() -> None:
    graph = Graph("g")
    tasks = [Step("a"), Step("a"), Step("b"), Step("a", tags={"y", "x"}), Step("a", slug="a-3"), Step("a")]
    for task in tasks:
        graph.add_task(task)
    assert list(graph.slugs.values()) == ["a-1", "a-2", "b-1", "a-x-y-1", "a-3", "a-4"]
    assert len(set(graph.slugs.values())) == len(tasks)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "a-1", "b"]), st.sampled_from([None, "a-1", "a-2", "a-1-1"])), max_size=8))
def test_slugs_never_meet(made: list[tuple[str, str | None]]) -> None:
    graph = Graph("g")
    for name, slug in made:
        try:
            graph.add_task(Step(name, slug=slug))
        except DuplicateSlugError:
            assert slug in graph.slugs.values()
    assert len(set(graph.slugs.values())) == len(graph.tasks)


def test_a_slug_is_taken_once() -> None:
    graph = Graph("g")
    graph.add_task(Step("a", slug="mine"))
    with pytest.raises(DuplicateSlugError) as caught:
        graph.add_task(Step("b", slug="mine"))
    assert "slug \"mine\" already exists in this flow ('g')" in str(caught.value)
    assert "give one of them another slug or name" in str(caught.value)


def test_an_edge_brings_its_tasks() -> None:
    graph = Graph("g")
    one, other = Step("a"), Step("b")
    edge = graph.add_edge(one, other, key="x", mapped=True)
    assert graph.tasks == {one, other}
    assert edge == Edge(one, other, "x", True)
    assert (edge.upstream_task, edge.downstream_task, edge.key, edge.mapped, edge.flattened) == (
        one,
        other,
        "x",
        True,
        False,
    )


def test_edges_are_equal_when_all_of_them_is() -> None:
    a, b = Step("a"), Step("b")
    variants = [
        Edge(a, b),
        Edge(b, a),
        Edge(a, b, "x"),
        Edge(a, b, "y"),
        Edge(a, b, "x", True),
        Edge(a, b, "x", False, True),
    ]
    assert len(set(variants)) == len(variants)
    assert Edge(a, b, "x") == Edge(a, b, "x")
    assert hash(Edge(a, b, "x")) == hash(Edge(a, b, "x"))
    assert Edge(a, b) != "edge"
    assert repr(Edge(a, b, "x", True)) == "<Edge x mapped: a to b>"
    assert repr(Edge(a, b)) == "<Edge: a to b>"


def test_a_graph_survives_pickle_with_all_its_answers() -> None:
    graph = Graph("g")
    chain(graph, "a", "b", "c")
    restored: Graph = pickle.loads(cloudpickle.dumps(graph))
    assert [task.name for task in restored.sorted_tasks()] == ["a", "b", "c"]
    for edge in restored.edges:
        assert Edge(edge.upstream_task, edge.downstream_task) in restored.edges
        before = restored.revision
        restored.add_edge(edge.upstream_task, edge.downstream_task)
        assert (len(restored.edges), restored.revision) == (2, before + 1)


def test_the_same_edge_again_changes_nothing() -> None:
    graph = Graph("g")
    one, other = chain(graph, "a", "b")
    graph.add_edge(one, other)
    assert len(graph.edges) == 1


def test_edges_that_cannot_be() -> None:
    graph, a = Graph("g"), Step("a")
    with pytest.raises(FlowError, match="to itself: <Task: a>"):
        graph.add_edge(a, a)
    for key in ("", "1x", "a-b", "class", "a b"):
        with pytest.raises(FlowError, match="must be a valid argument name, not "):
            graph.add_edge(a, Step("b"), key=key)
    with pytest.raises(FlowError, match="Parameters must be root tasks and can not have upstream dependencies"):
        graph.add_edge(a, Parameter("p"))


def test_an_argument_has_one_source() -> None:
    graph, target = Graph("g"), Step("t")
    graph.add_edge(Step("a"), target, key="x")
    with pytest.raises(FlowError, match="Argument 'x' of task <Task: t> is bound to <Task: a> already"):
        graph.add_edge(Step("b"), target, key="x")


def test_an_edge_takes_the_place_of_a_constant() -> None:
    graph, target = Graph("g"), Step("t")
    graph.constants[target]["x"] = 1
    graph.add_edge(Step("a"), target, key="x")
    assert graph.constants[target] == {}


def test_reference_tasks() -> None:
    graph = Graph("g")
    a, b = chain(graph, "a", "b")
    assert graph.reference_tasks() == {b}
    graph.set_reference_tasks(iter([a]))
    assert graph.reference_tasks() == {a}
    graph.set_reference_tasks([])
    assert graph.reference_tasks() == {b}
    with pytest.raises(FlowValidationError, match="reference tasks must be part of the flow 'g': \\[<Task: z>\\]"):
        graph.set_reference_tasks([a, Step("z")])
    assert graph.reference_tasks() == {b}


@pytest.mark.parametrize("question", ["edges_to", "edges_from", "incoming", "upstream_tasks", "downstream_tasks"])
def test_a_task_of_another_flow_is_named(question: str) -> None:
    with pytest.raises(FlowError, match="Task <Task: z> was not found in Flow 'g'"):
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


def test_every_change_raises_the_revision() -> None:
    graph = Graph("g")
    a, b = Step("a"), Step("b")
    changes = [
        lambda: graph.add_task(a),
        lambda: graph.add_edge(a, b),
        lambda: graph.set_reference_tasks([a]),
        lambda: Step("c").bind(x=1, flow=graph),
    ]
    for change in changes:
        before = graph.revision
        change()
        assert graph.revision > before


def test_what_is_given_out_is_a_copy() -> None:
    graph = Graph("g")
    a, b = chain(graph, "a", "b")
    graph.tasks.clear()
    graph.edges.clear()
    graph.edges_to(b).clear()
    graph.incoming(b).clear()
    graph.reference_tasks().clear()
    assert (len(graph.tasks), len(graph.edges), graph.upstream_tasks(b)) == (2, 1, {a})


def test_missing_arguments_are_named() -> None:
    class Needs(Task):
        def run(self, x: int, y: int, z: int = 0) -> None:
            return None

    graph = Graph("g")
    task = Needs("needy")
    graph.add_task(task)
    with pytest.raises(FlowValidationError, match="Task <Task: needy> of flow 'g' needs x, y: call it with them"):
        graph.validate()
    graph.add_edge(Step("a"), task, key="x")
    graph.constants[task]["y"] = None
    graph.validate()


def test_validation_finds_cycles() -> None:
    graph = Graph("g")
    a, b = chain(graph, "a", "b")
    graph.add_edge(b, a)
    with pytest.raises(FlowCycleError, match=r"a → b → a|b → a → b"):
        graph.validate()
