"""Branches: what `case`, `switch`, `ifelse` and `merge` make of a flow, and what becomes of it in a run."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from prefectlite import Flow, Parameter, Task, task, triggers, unmapped
from prefectlite.contexts import active_case
from prefectlite.errors import FlowError
from prefectlite.language.control_flow import CompareValue, FilterTask, Merge, case, ifelse, merge, switch
from prefectlite.signals import SKIP, TRIGGERFAIL
from prefectlite.states import Skipped
from tests.language.flow_graphs import constants, edges, ends, results


@task
def root() -> int:
    return 1


@task
def ident(x: Any) -> Any:
    return x


@task
def both(x: Any, y: Any = 0) -> Any:
    return x, y


@task
def fail(x: Any = None) -> None:
    raise ValueError("no")


def names(flow: Flow) -> set[str]:
    return set(flow.slugs.values())


def test_tasks_of_a_block_wait_for_the_comparison() -> None:
    with Flow("f") as flow:
        value = root()
        with case(value, 1) as nothing:
            one = ident(5)
            ident(one)
        with case(value, 2):
            ident(6)
    assert nothing is None
    assert edges(flow) == {
        ("root-1", "case(1)-1", "value"),
        ("root-1", "case(2)-1", "value"),
        ("case(1)-1", "ident-1", None),
        ("ident-1", "ident-2", "x"),
        ("case(2)-1", "ident-3", None),
    }
    states = ends(flow, flow.run())
    assert states["ident-2"].result == 5
    assert states["case(2)-1"].message == 'Provided value "1" did not match "2"'
    assert states["case(2)-1"].is_skipped()
    assert states["ident-3"].is_skipped()


def test_dependencies_outside_of_the_block_do_not_count() -> None:
    with Flow("f") as flow:
        value, outside = root(), ident(8)
        with case(value, True):
            inside = both(outside, 2)
            parameter = Parameter("p", default=3)
            ident(parameter)
            ident([inside, 4])
            ident.map([1, 2])
    assert edges(flow) == {
        ("root-1", "case(True)-1", "value"),
        ("ident-1", "both-1", "x"),
        ("case(True)-1", "both-1", None),
        ("p", "ident-2", "x"),
        ("case(True)-1", "ident-2", None),
        ("both-1", "List-1", "arg_1"),
        ("List-1", "ident-3", "x"),
        ("[1, 2]-1*", "ident-4", "x"),
        ("case(True)-1", "ident-4", None),
    }
    assert flow.run().is_successful()  # 1 == True


def test_blocks_nest() -> None:
    with Flow("f") as flow:
        value = root()
        with case(value, 1):
            with case(value, 2):
                inner = ident(1)
            ident(inner)
    assert edges(flow) == {
        ("root-1", "case(1)-1", "value"),
        ("root-1", "case(2)-1", "value"),
        ("case(1)-1", "case(2)-1", None),
        ("case(2)-1", "ident-1", None),
        ("ident-1", "ident-2", "x"),
        ("case(1)-1", "ident-2", None),
    }
    assert active_case.get() is None


def test_an_empty_block_adds_nothing() -> None:
    with Flow("f") as flow:
        value = root()
        with case(value, 1):
            Parameter("p", default=1)()
    assert names(flow) == {"root-1", "p"}


def test_a_block_needs_no_flow_context() -> None:
    flow = Flow("f")
    with case(3, 3):
        ident(1, flow=flow)
    assert names(flow) == {"case(3)-1", "ident-1"}
    assert constants(flow) == {"case(3)-1": {"value": 3}, "ident-1": {"x": 1}}
    assert flow.run().is_successful()


def test_a_block_can_be_used_again() -> None:
    with Flow("f") as flow:
        block = case(root(), 1)
        with block:
            ident(1)
    with Flow("g") as other:
        block.task = root()
        with block:
            ident(2)
    assert names(flow) == names(other)


def test_what_a_block_refuses() -> None:
    with Flow("f") as flow, pytest.raises(TypeError, match="`value` cannot be a task"):
        case(root(), root())

    def in_two_flows() -> None:
        with Flow("g"), case(root(), 1):
            ident(1)
            ident(2, flow=flow)

    with pytest.raises(ValueError, match="Multiple flows cannot be used with the same case statement"):
        in_two_flows()
    assert active_case.get() is None


def test_an_error_inside_of_a_block_goes_on() -> None:
    flow = Flow("f")

    def broken() -> None:
        with flow, case(root(), 1):
            ident(1)
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert ("case(1)-1", "ident-1", None) in edges(flow)


def test_switch() -> None:
    with Flow("f") as flow:
        value = ident("b")
        switch(value, {"a": ident(1), "b": ident(2), "c": [ident(3), ident(4)], "d": 5})
    compare = {letter: f'CompareValue: "{letter}"-switch-1' for letter in "abcd"}
    found = {(up, down.replace("-switch", ""), key) for up, down, key in edges(flow)}
    assert {(compare["a"], "ident-2", None), (compare["b"], "ident-3", None), (compare["c"], "List-1", None)} <= found
    assert {up for up, _, key in edges(flow) if key == "value"} == {"ident-1"}
    states = ends(flow, flow.run())
    assert states["ident-2"].is_skipped()
    assert states["ident-3"].result == 2
    assert (states["ident-4"].result, states["ident-5"].result) == (3, 4)  # only their list is skipped
    assert next(state for slug, state in states.items() if slug.startswith("List")).is_skipped()


def test_switch_on_a_constant_and_child_by_child() -> None:
    with Flow("f") as flow:
        switch("a", {"a": ident(1), "b": ident(2)})
        values = ident([1, 2])
        switch(values, {1: ident.map([5, 6]), 2: ident.map([7, 8])}, mapped=True)
    assert ("ident-3*", 'CompareValue: "1"-switch-1', "value") in edges(flow)
    assert ('CompareValue: "1"-switch-1*', "ident-4", None) in edges(flow)
    found = results(flow, flow.run())
    assert found["ident-1"] == 1
    assert found["ident-4"][0] == 5
    assert found["ident-5"][1] == 8


@pytest.mark.parametrize(("value", "taken"), [(0, "ident-3"), ([], "ident-3"), (1, "ident-2"), ("x", "ident-2")])
def test_ifelse(value: Any, taken: str) -> None:
    with Flow("f") as flow:
        ifelse(ident(value), ident("yes"), ident("no"))
    assert len(flow.tasks) == 6
    states = ends(flow, flow.run())
    assert {slug for slug in ("ident-2", "ident-3") if not states[slug].is_skipped()} == {taken}


def test_ifelse_with_one_branch_and_mapped() -> None:
    with Flow("f") as flow:
        ifelse(ident(1), ident("yes"), None)
    assert names(flow) == {"ident-1", "as_bool-1", 'CompareValue: "True"-switch-1', "ident-2"}
    with Flow("g") as flow:
        ifelse(True, None, ident("no"))
    assert ends(flow, flow.run())["ident-1"].is_skipped()
    with Flow("h") as flow:
        ifelse(ident([0, 1]), ident.map([1, 2]), ident.map([3, 4]), mapped=True)
    found = results(flow, flow.run())
    assert (found["as_bool-1"], found["ident-2"][1], found["ident-3"][0]) == ([False, True], 2, 3)


def test_merge_takes_the_branch_that_ran() -> None:
    with Flow("f") as flow:
        yes, no = ident("yes"), ident("no")
        ifelse(ident(0), yes, no)
        ident(merge(yes, no))
    assert ("ident-1", "Merge-1", "task_1") in edges(flow)
    assert ("ident-2", "Merge-1", "task_2") in edges(flow)
    assert results(flow, flow.run())["ident-4"] == "no"


def test_merge_is_skipped_when_all_branches_are() -> None:
    with Flow("f") as flow:
        branch = ident(1)
        switch(ident(5), {1: branch})
        ident(merge(branch))
    states = ends(flow, flow.run())
    assert type(states["Merge-1"]) is Skipped
    assert (states["Merge-1"].message, states["Merge-1"].result) == ("All upstreams were skipped", None)
    assert states["ident-3"].is_skipped()


def test_merge_takes_the_first_of_many_in_the_order_they_were_written() -> None:
    with Flow("f") as flow:
        branches = [ident(None) for _ in range(8)] + [ident(number) for number in range(8, 12)]
        merge(*branches)
    assert results(flow, flow.run())["Merge-1"] == 8  # task_9 comes before task_10


@pytest.mark.parametrize("value", [0, False, "", []])
def test_merge_keeps_what_is_false(value: Any) -> None:
    with Flow("f") as flow:
        merge(ident(None), ident(value), ident("late"))
    assert results(flow, flow.run())["Merge-1"] == value


def test_merge_fails_with_a_branch() -> None:
    with Flow("f") as flow:
        merge(ident(1), fail())
    state = ends(flow, flow.run())["Merge-1"]
    assert state.message == 'Trigger was "not_all_skipped" but some of the upstream tasks failed.'


def test_a_constant_is_a_branch_that_is_always_taken() -> None:
    with Flow("f") as flow:
        branch = ident(1)
        switch(ident(5), {1: branch})
        merge(branch, "default")
        merge()
        merge(None, 3)
    found = results(flow, flow.run())
    assert (found["Merge-1"], found["Merge-2"], found["Merge-3"]) == ("default", None, 3)
    with Flow("f") as flow:
        merge(fail(), "default")
    state = ends(flow, flow.run())["Merge-1"]
    assert state.message == 'Trigger was "not_all_skipped" but some of the upstream tasks failed.'


def test_merge_child_by_child() -> None:
    with Flow("f") as flow:
        merge(ident.map([1, None]), ident.map([3, 4]), mapped=True)
    assert ("ident-1*", "Merge-1", "task_1") in edges(flow)
    assert results(flow, flow.run())["Merge-1"] == [1, 4]


def test_merge_takes_what_a_task_takes() -> None:
    flow = Flow("f")
    task = merge(1, flow=flow, name="mm", tags={"q"}, checkpoint=False, trigger=triggers.all_finished)
    assert (flow.slugs[task], task.checkpoint, task.skip_on_upstream_skip) == ("mm-q-1", False, False)
    assert task.trigger is triggers.all_finished
    with pytest.raises(ValueError, match="Merge tasks must have `skip_on_upstream_skip=False`"):
        merge(1, flow=flow, skip_on_upstream_skip=True)
    assert issubclass(FlowError, ValueError)


def test_the_tasks_by_themselves() -> None:
    compare = CompareValue(3)
    assert compare.name == 'CompareValue: "3"'
    assert asyncio.run(compare.run(3)) is None  # type: ignore[func-returns-value]
    with pytest.raises(SKIP, match='Provided value "4" did not match "3"') as caught:
        asyncio.run(compare.run(4))
    assert caught.value.state.result is caught.value
    assert asyncio.run(Merge().run(task_10=10, task_2=None, task_3=3)) == 3
    assert asyncio.run(Merge().run(b=1, a=2, task_1=None)) == 2
    assert asyncio.run(Merge().run()) is None


def test_filter_drops_what_is_no_result() -> None:
    kept = FilterTask().run([1, None, ValueError(), TRIGGERFAIL(), SKIP(), KeyboardInterrupt(), 0, ""])
    assert kept == [1, 0, ""]
    assert FilterTask(filter_func=lambda x: x > 1).run((1, 2, 3)) == [2, 3]


def test_filter_runs_however_the_upstream_tasks_ended() -> None:
    with Flow("f") as flow:
        kept = FilterTask()(task_results=fail.map([1, 2]))
        ident(kept)
        FilterTask(filter_func=lambda error: "no" in str(error), name="errors")(fail.map(unmapped(1), upstream_tasks=[[1]]))
    found = results(flow, flow.run())
    assert found["ident-1"] == []
    assert [str(error) for error in found["errors-1"]] == ["no"]


def test_filter_takes_what_a_task_takes() -> None:
    task = FilterTask(trigger=triggers.all_successful, skip_on_upstream_skip=True, name="keep")
    assert (task.trigger, task.skip_on_upstream_skip, task.name) == (triggers.all_successful, True, "keep")
    assert (FilterTask().trigger, FilterTask().skip_on_upstream_skip) == (triggers.all_finished, False)
    assert isinstance(task, Task)


def test_filter_says_what_it_kept(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert FilterTask(log_func=lambda kept: f"kept {kept}").run([1, None]) == [1]
    assert "kept [1]" in caplog.text
