from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import cloudpickle
import pytest

from prefectlite import Flow, Parameter, Task, mapped, unmapped
from prefectlite.contexts import inside_apply_map
from prefectlite.errors import DuplicateSlugError, FlowCycleError, FlowError, FlowValidationError
from prefectlite.language.collections import Constant
from prefectlite.language.graph import Edge, Graph


class Step(Task):
    def run(self, **inputs: Any) -> None:
        return None


def chain(graph: Graph, *names: str) -> list[Task]:
    steps: list[Task] = [Step(name) for name in names]
    for one, other in pairwise(steps):
        graph.add_edge(one, other)
    return steps


def test_a_task_joins_once() -> None:
    graph, step = Graph("g"), Step("a")
    assert graph.add_task(step) is step
    revision = graph.revision
    assert graph.add_task(step) is step
    assert (graph.revision, graph.tasks) == (revision, {step})


@pytest.mark.parametrize("what", [5, "a", None, Step, [Step("a")]])
def test_only_tasks_join(what: Any) -> None:
    with pytest.raises(TypeError, match=r"^Tasks must be Task instances \(received <class "):
        Graph("g").add_task(what)


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


def test_reference_tasks() -> None:
    graph = Graph("g")
    a, b = chain(graph, "a", "b")
    assert graph.reference_tasks() == {b}
    graph.set_reference_tasks(iter([a]))
    assert graph.reference_tasks() == {a}
    graph.set_reference_tasks([])
    assert graph.reference_tasks() == {b}
    with pytest.raises(FlowValidationError, match=r"^reference tasks must be part of the flow\. \[<Task: z>\] are not in"):
        graph.set_reference_tasks([a, Step("z")])
    assert graph.reference_tasks() == {b}


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


class Takes(Task):
    def run(self, x: int = 0, y: int = 0) -> None: ...


class Init(Step):
    is_resource_init = True


class CleanUp(Step):
    is_resource_cleanup = True


# -- edges ----------------------------------------------------------------------------------------------------------------


def test_a_parameter_waits_for_nothing() -> None:
    graph = Graph("g")
    with pytest.raises(FlowError, match=r"^Parameters must be root tasks and can not have upstream dependencies\."):
        graph.add_edge(Step("a"), Parameter("p"))
    assert graph.tasks == set()


def test_an_argument_has_one_source() -> None:
    graph, target, source = Graph("g"), Step("t"), Step("a")
    graph.add_edge(source, target, key="x")
    graph.add_edge(5, target, key="y")
    for value, key in ((Step("b"), "x"), (5, "x"), (mapped(source), "x"), (Step("b"), "y"), (5, "y")):
        with pytest.raises(FlowError, match=f'^Argument "{key}" for task <Task: t> has already been assigned in this flow'):
            graph.add_edge(value, target, key=key)
    assert (graph.tasks, len(graph.edges)) == ({source, target}, 1)


def test_an_unmapped_constant_with_a_key_is_no_node() -> None:
    graph, target = Graph("g"), Step("t")
    edge = graph.add_edge(5, target, key="x")
    assert isinstance(edge.upstream_task, Constant)
    graph.add_edge(Constant(6), target, key="y")
    assert (graph.tasks, graph.edges) == ({target}, set())
    assert graph.constants == {target: {"x": 5, "y": 6}}


@pytest.mark.parametrize(
    ("key", "is_mapped", "is_flattened"), [(None, False, False), ("x", True, False), ("x", False, True)]
)
def test_any_other_constant_is_a_node(key: str | None, is_mapped: bool, is_flattened: bool) -> None:
    graph, target = Graph("g"), Step("t")
    edge = graph.add_edge([1], target, key, is_mapped, is_flattened)
    assert graph.tasks == {edge.upstream_task, target}
    assert graph.edges == {edge}
    assert graph.constants[target] == {}


def test_an_edge_can_be_validated() -> None:
    graph, a, b, c = Graph("g"), Takes("a"), Takes("b"), Takes("c")
    graph.add_edge(a, b, key="x", validate=True)
    graph.add_edge(b, c, validate=True)
    with pytest.raises(FlowError, match='Argument "x" for task <Task: b> has already been assigned'):
        graph.add_edge(a, b, key="x", validate=True)
    with pytest.raises(TypeError, match="Task 'c': got an unexpected keyword argument 'z'"):
        graph.add_edge(b, c, key="z", validate=True)
    with pytest.raises(FlowCycleError, match=r"^Cycle found; flows must be acyclic! "):
        graph.add_edge(c, a, validate=True)
    assert graph.edges == {Edge(a, b, "x"), Edge(b, c)}
    graph.add_edge(b, c, validate=True)
    graph.add_edge(c, a)
    graph.add_edge(a, b, key="x")
    graph.add_edge(b, c, key="z")
    assert len(graph.edges) == 4


def test_a_chain() -> None:
    graph = Graph("g")
    a, b, c = Step("a"), Step("b"), Step("c")
    assert graph.chain(a, b, c) == [Edge(a, b), Edge(b, c)]
    assert graph.edges == {Edge(a, b), Edge(b, c)}
    assert graph.chain(Step("z")) == graph.chain() == []
    assert graph.tasks == {a, b, c}
    first, second = graph.chain(c, 5, Step("d"))
    assert first.downstream_task is second.upstream_task
    with pytest.raises(FlowCycleError):
        graph.chain(c, a, validate=True)


def test_setting_dependencies() -> None:
    graph = Graph("g")
    a, b, c, d = (Step(name) for name in "abcd")
    graph.set_dependencies(a, [b, 4], [c], {"x": d, "y": 5}, mapped=True)
    four, five = graph.get_tasks(task_type=Constant)
    assert graph.edges == {
        Edge(b, a, mapped=True),
        Edge(four, a, mapped=True),
        Edge(a, c),
        Edge(d, a, "x", mapped=True),
        Edge(five, a, "y", mapped=True),
    }
    assert list(graph.slugs.values()) == ["a-1", "b-1", "4-1", "c-1", "d-1", "5-1"]
    other = Graph("h")
    other.set_dependencies(a, [unmapped(b)], [mapped(c)], {"x": unmapped(d), "y": unmapped(5)}, mapped=True)
    assert other.edges == {Edge(b, a), Edge(a, c, mapped=True), Edge(d, a, "x")}
    assert other.constants[a] == {"y": 5}
    alone = Graph("i")
    alone.set_dependencies(a)
    assert alone.tasks == {a}
    with pytest.raises(FlowCycleError):
        alone.set_dependencies(a, upstream_tasks=[b], downstream_tasks=[b], validate=True)


@pytest.mark.parametrize("word", ["upstream_tasks", "downstream_tasks"])
def test_one_task_is_not_a_list(word: str) -> None:
    step = Step("s", nout=2)
    with pytest.raises(TypeError, match=rf"^Task is not iterable\. .*write {word}=\[<Task: s>\]"):
        Graph("g").set_dependencies(Step("t"), **{word: step})


def test_nothing_is_mapped_inside_of_what_is_mapped_as_a_whole() -> None:
    with Flow("f") as flow:
        step = Step("s")()
        token = inside_apply_map.set(True)
        try:
            for attempt in (
                lambda: Takes().map(step),
                lambda: Takes().map(unmapped(step)),
                lambda: Takes()(unmapped(1), mapped=True),
                lambda: flow.add_edge(step, Takes(), mapped=True),
                lambda: Takes().set_dependencies(mapped=True),
                lambda: Takes().set_upstream(step, mapped=True),
            ):
                with pytest.raises(FlowError, match=r"^Cannot set `mapped=True` when running from inside a mapped context$"):
                    attempt()
            Takes()(step)
        finally:
            inside_apply_map.reset(token)
        Takes().map(step)
    assert len(flow.edges) == 2


# -- reference tasks ------------------------------------------------------------------------------------------------------


def test_what_makes_and_cleans_up_resources_is_no_default_reference_task() -> None:
    graph = Graph("g")
    init, setup, work, after, clean = Init("i"), Step("setup"), Step("work"), Step("after"), CleanUp("c")
    graph.chain(init, setup, work, clean)
    assert graph.reference_tasks() == {work}
    graph.add_edge(work, after)
    assert graph.reference_tasks() == {after}
    graph.add_task(Init("j"))
    assert graph.reference_tasks() == {after}
    assert graph.terminal_tasks() > {after, clean}
    graph.set_reference_tasks([clean])
    assert graph.reference_tasks() == {clean}


@pytest.mark.parametrize("wrong", [None, 5, Step("a")])
def test_reference_tasks_are_several(wrong: Any) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        Graph("g").set_reference_tasks(wrong)


# -- one graph and another ------------------------------------------------------------------------------------------------


def test_graphs_are_equal_when_what_they_hold_is() -> None:
    def build() -> Graph:
        graph = Graph("g")
        graph.chain(a, b)
        return graph

    a, b = Step("a"), Step("b")
    assert build() == build()
    assert Graph("g") == Graph("g")
    assert Graph("g") != Graph("h")
    assert Graph("g") != 5
    other = build()
    other.set_reference_tasks([a])
    assert build() != other
    other = build()
    other.add_edge(a, b, key="x")
    assert build() != other
    other = build()
    other.add_task(Step("c"))
    assert build() != other


def test_each_graph_is_a_key_of_its_own() -> None:
    one, other = Graph("g"), Graph("g")
    assert one == other
    kept = WeakKeyDictionary({one: 1, other: 2})
    one.add_task(Step("a"))
    assert (kept[one], kept[other]) == (1, 2)
    assert len({one, other}) == 2


def test_a_copy_is_independent() -> None:
    graph = Graph("g")
    a, b = chain(graph, "a", "b")
    graph.add_edge(5, b, key="x")
    graph.set_reference_tasks([a])
    copied = graph.copy()
    assert copied == graph
    assert copied is not graph
    c, d = Step("a"), Step("a")
    copied.add_edge(b, c)
    copied.constants[b]["x"] = 6
    copied.set_reference_tasks([c])
    graph.add_task(d)
    assert graph.tasks == {a, b, d}
    assert graph.edges == {Edge(a, b)}
    assert graph.constants[b] == {"x": 5}
    assert graph.reference_tasks() == {a}
    assert (graph.slugs[d], copied.slugs[c]) == ("a-2", "a-2")
    flow = Flow("f")
    assert type(flow.copy()) is Flow


def test_one_flow_takes_in_another() -> None:
    with Flow("f") as flow:
        mine = Takes("mine")(Parameter("p"))
    with Flow("g") as other:
        theirs = Takes("theirs")(Parameter("q"), y=4)
        last = Takes("last")(theirs)
    before = other.copy()
    flow.update(other)
    assert other == before
    assert flow.tasks > {mine, theirs, last}
    assert {task.name for task in flow.parameters()} == {"p", "q"}
    assert flow.edges >= other.edges
    assert flow.constants == {theirs: {"y": 4}}
    assert flow.reference_tasks() == {mine, last}
    revision, again = flow.revision, flow.copy()
    flow.update(other)
    assert flow == again
    assert flow.revision > revision
    with pytest.raises(FlowError, match="already been assigned"):
        flow.update(other, validate=True)


def test_parameters_of_the_same_name_meet_on_demand() -> None:
    with Flow("f") as flow:
        mine = Takes("mine")(Parameter("p"))
    with Flow("g") as other:
        parameter = Parameter("p")
        theirs = Takes("theirs")(parameter)
    before = flow.copy()
    with pytest.raises(DuplicateSlugError, match='A task with the slug "p" already exists in this flow'):
        flow.update(other)
    assert flow == before
    assert flow.slugs == before.slugs
    flow.update(other, merge_parameters=True)
    assert flow.parameters() == {parameter}
    assert flow.edges == {Edge(parameter, mine, "x"), Edge(parameter, theirs, "x")}
    assert flow.slugs[parameter] == "p"


def test_reference_tasks_of_both_flows_count_on_demand() -> None:
    def two() -> tuple[Graph, list[Task], Graph, list[Task]]:
        one, other = Graph("f"), Graph("g")
        return one, chain(one, "a", "b"), other, chain(other, "c", "d")

    flow, (a, b), other, (c, d) = two()
    flow.set_reference_tasks([a])
    flow.update(other)
    assert flow.reference_tasks() == {a}
    flow.update(other, merge_reference_tasks=True)
    assert flow.reference_tasks() == {a, d}
    flow, (a, b), other, (c, d) = two()
    other.set_reference_tasks([c])
    flow.update(other, merge_reference_tasks=True)
    assert flow.reference_tasks() == {b, c, d}


def test_one_task_takes_the_place_of_another() -> None:
    with Flow("f") as flow:
        parameter = Parameter("p")
        old = Takes("old")(mapped(parameter), y=3)
        last = Takes("last")(old)
    new = Takes("new")
    revision = flow.revision
    flow.replace(old, new)
    assert flow.tasks == {parameter, new, last}
    assert flow.edges == {Edge(parameter, new, "x", mapped=True), Edge(new, last, "x")}
    assert flow.constants == {new: {"y": 3}}
    assert flow.slugs[new] == "new-1"
    assert flow.reference_tasks() == {last}
    assert flow.revision > revision
    flow.set_reference_tasks([new])
    newer = Step("newer")
    flow.replace(new, newer)
    assert flow.reference_tasks() == {newer}
    assert flow.constants[newer] == {"y": 3}
    flow.replace(newer, Takes("no arguments left"))
    flow.validate()


def test_a_value_takes_the_place_of_a_task() -> None:
    with Flow("f") as flow:
        parameter = Parameter("p")
        middle = Takes("middle")(parameter)
    flow.replace(parameter, 5)
    (five,) = flow.get_tasks(task_type=Constant)
    assert flow.tasks == {five, middle}
    assert flow.edges == set()
    assert flow.constants == {middle: {"x": 5}}
    with Flow("g") as other:
        parameter = Parameter("p")
        middle = Takes("middle")(parameter)
    source = Step("source")
    other.replace(parameter, [source, 1])
    assert {task.name for task in other.tasks} == {"middle", "List", "source"}
    assert other.sorted_tasks()[0] is source


def test_a_parameter_takes_the_place_of_one_of_the_same_name() -> None:
    with Flow("f") as flow:
        parameter = Parameter("p")
        step = Takes("s")(parameter)
    new = Parameter("p", default=1)
    flow.replace(parameter, new)
    assert flow.edges == {Edge(new, step, "x")}
    with pytest.raises(FlowError, match="Parameters must be root tasks"):
        flow.replace(step, Parameter("q"))
    assert flow.edges == {Edge(new, step, "x")}
    assert flow.tasks == {new, step}


def test_what_cannot_be_replaced_is_left() -> None:
    graph = Graph("g")
    a, _, c = chain(graph, "a", "b", "c")
    before = graph.copy()
    with pytest.raises(FlowError, match=r'^Task <Task: z> was not found in Flow <Graph: name="g">$'):
        graph.replace(Step("z"), a)
    with pytest.raises(FlowCycleError):
        graph.replace(a, c)
    assert graph == before
    assert graph.slugs == before.slugs
    graph.replace(a, c, validate=False)
    with pytest.raises(FlowCycleError):
        graph.validate()


# -- tasks that were made and not used ------------------------------------------------------------------------------------


def names(flow: Flow) -> list[str]:
    return [task.name for task in flow.unused_tasks()]


def test_tasks_that_are_not_used_are_known() -> None:
    outside = Step("outside")
    with Flow("f") as flow:
        Step("forgotten")
        Constant(5)
        Step("called")()
        Step("bound").bind()
        Step("an argument")(x=Step("another argument"), y=[Step("in a list")])
        Step("mapped").map(x=[1])
        original = Step("copied")
        original.copy(name="the copy")
        outside.copy(name="copy of one from outside")
        _ = Step("added")() + 1
        Parameter("p")
    assert names(flow) == ["forgotten", "the copy", "copy of one from outside", "p"]
    assert Flow("g").unused_tasks() == []
    Step("made outside")
    assert len(flow.made) == len(set(flow.made))


def test_the_innermost_flow_knows_what_was_made() -> None:
    with Flow("outer") as outer:
        Step("a")
        with Flow("inner") as inner:
            Step("b")
            Step("c").bind(flow=outer)
        Step("d")
    assert names(outer) == ["a", "d"]
    assert names(inner) == ["b", "c"]
