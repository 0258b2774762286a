from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import cloudpickle
import pytest

from prefectlite import Flow, Task, context, task, triggers, unmapped
from prefectlite.errors import FlowError
from prefectlite.language.mapping import flatten
from prefectlite.language.task import FunctionTask

SECOND = timedelta(seconds=1)


class Add(Task):
    def run(self, x: int, y: int = 1) -> int:
        return x + y


@task
def add(x: int, y: int = 1) -> int:
    """The sum."""
    return x + y


@task
async def wait(x: int) -> int:
    return x


# -- making ---------------------------------------------------------------------------------------------------------------


def test_a_function_becomes_a_task() -> None:
    assert isinstance(add, FunctionTask)
    assert (add.name, add.__doc__, add.run(1, 2), add.is_async) == ("add", "The sum.", 3, False)
    assert add.__wrapped__ is add.run
    assert repr(add) == "<Task: add>"
    assert wait.is_async
    assert asyncio.run(wait.run(3)) == 3


def test_a_class_is_a_task() -> None:
    made = Add()
    assert (made.name, made.run(1), made.is_async, made.is_task) == ("Add", 2, False, True)
    assert Add("other").name == "other"
    assert Task().run() is None


def test_options() -> None:
    @task(name="n", slug="s", tags=["x", "x"], timeout=1.5, checkpoint=False, log_stdout=True, skip_on_upstream_skip=False)
    def made() -> None: ...

    assert (made.name, made.slug, made.tags, made.timeout) == ("n", "s", {"x"}, 1.5)
    assert (made.checkpoint, made.log_stdout, made.skip_on_upstream_skip) == (False, True, False)


def test_defaults() -> None:
    made = Add()
    assert (made.slug, made.tags, made.max_retries, made.retry_delay, made.retry_on, made.timeout) == (
        None, set(), 0, None, None, None,
    )  # fmt: skip
    assert (made.trigger, made.skip_on_upstream_skip, made.checkpoint, made.log_stdout) == (
        triggers.all_successful, True, None, False,
    )  # fmt: skip


class CallableObject:
    def __call__(self, x: int) -> int:
        return x


class AsyncCallableObject:
    async def __call__(self, x: int) -> int:
        return x


@pytest.mark.parametrize(
    ("function", "name", "is_async"),
    [
        (lambda x: x, "<lambda>", False),
        (functools.partial(add.run, y=2), "FunctionTask", False),
        (functools.partial(wait.run), "FunctionTask", True),
        (CallableObject(), "FunctionTask", False),
        (AsyncCallableObject(), "FunctionTask", True),
    ],
)
def test_anything_callable_is_a_task(function: Callable[..., Any], name: str, is_async: bool) -> None:
    made = task(function)
    assert (made.name, made.is_async) == (name, is_async)
    assert made.required_inputs() == ["x"]
    assert (asyncio.run(made.run(4)) if is_async else made.run(4)) in (4, 5, 6)


@pytest.mark.parametrize("what", [5, "add", [add]])
def test_nothing_else_is_a_task(what: Any) -> None:
    with pytest.raises(TypeError, match="must be callable"):
        task(what)
    with pytest.raises(TypeError, match="must be callable"):
        task(name="x")(what)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="retries"):
        task(retries=3)(add.run)


def test_a_task_decorated_once_more_warns_and_works() -> None:
    with pytest.warns(UserWarning, match="A Task was passed as an argument to FunctionTask"):
        again = task(add)
    assert (again.name, again.run, again.required_inputs()) == ("add", add.run, ["x"])


def test_a_decorated_function_keeps_its_looks() -> None:
    assert (add.__name__, add.__module__, add.__qualname__) == ("add", __name__, "add")
    named = task(name="other")(add.run)
    assert (named.name, named.__doc__, named.__wrapped__) == ("other", "The sum.", add.run)


def test_the_logger_has_the_name_of_the_task() -> None:
    assert Add("mine").logger.name == "prefectlite.mine"
    assert Add("mine").copy(name="yours").logger.name == "prefectlite.yours"
    assert task(lambda: None).logger.name == "prefectlite.<lambda>"


def test_the_constructor_of_a_subclass_has_to_call_ours() -> None:
    class Mine(Task):
        def __init__(self) -> None:
            pass

    with Flow("f"), pytest.raises(AttributeError):
        Mine()()


def test_a_task_survives_pickle() -> None:
    restored = pickle.loads(cloudpickle.dumps(Add("a", tags=["x"], max_retries=1, retry_delay=[1, 2], nout=2)))
    assert (restored.name, restored.tags, restored.delay_after(2), restored.nout) == ("a", {"x"}, 2 * SECOND, 2)
    assert restored.run(1, 2) == 3
    assert list(inspect.signature(restored).parameters)[:2] == ["x", "y"]
    assert asyncio.run(pickle.loads(cloudpickle.dumps(wait)).run(3)) == 3


# -- copying --------------------------------------------------------------------------------------------------------------


def test_a_copy_is_another_task() -> None:
    original = Add("a", tags=["x"], max_retries=1, retry_delay=1, timeout=2)
    copied = original.copy()
    assert copied is not original
    assert (copied.name, copied.tags, copied.retry_delay, copied.timeout) == ("a", {"x"}, SECOND, 2)
    copied.tags.add("y")
    assert original.tags == {"x"}


def test_a_copy_is_changed() -> None:
    changed = Add("a", tags=["x"]).copy(
        name="b", tags=["y"], timeout=3, max_retries=2, retry_delay=1, retry_on=OSError, checkpoint=False
    )
    assert (changed.name, changed.tags, changed.checkpoint) == ("b", {"x", "y"}, False)
    assert (changed.max_retries, changed.retry_delay, changed.retry_on) == (2, SECOND, {OSError})
    assert changed.timeout == 3


def test_a_copy_without_retries() -> None:
    original = Add(max_retries=3, retry_delay=1, retry_on=OSError)
    copied = original.copy(max_retries=0)
    assert (copied.max_retries, copied.retry_delay, copied.retry_on) == (0, None, None)
    assert (original.max_retries, original.retry_delay, original.retry_on) == (3, SECOND, {OSError})
    assert original.copy(max_retries=1).retry_delay == SECOND
    assert original.copy(retry_delay=2).retry_delay == 2 * SECOND


def test_an_unknown_attribute_is_named() -> None:
    with pytest.raises(AttributeError, match="<Task: Add> does not have colour as an attribute"):
        Add().copy(colour="red")


@pytest.mark.parametrize(("args", "slug"), [({}, "s-copy"), ({"slug": "t"}, "t"), ({"slug": None}, None)])
def test_the_slug_of_a_copy(args: dict[str, Any], slug: str | None) -> None:
    assert Add(slug="s").copy(**args).slug == slug
    assert Add().copy().slug is None


def test_a_copy_loses_its_edges_with_a_warning() -> None:
    words = (
        r"^You are making a copy of a task that has dependencies on or to other tasks in the active flow context\. The copy"
        r" will not retain those dependencies\."
    )
    with Flow("f") as flow:
        first = add(1)
        first.copy()  # a constant is no edge
        second = add(first)
        for bound in (first, second):
            with pytest.warns(UserWarning, match=words):
                copied = bound.copy()
            assert copied not in flow.tasks
            with pytest.warns(UserWarning, match=words):
                assert flow.upstream_tasks(bound(3)) == set()
    second.copy()
    with Flow("another"):
        second.copy()


# -- calling --------------------------------------------------------------------------------------------------------------


def test_calling_puts_a_copy_into_the_flow() -> None:
    with Flow("f") as flow:
        one = add(1)
        other = add(one, y=2)
    assert flow.tasks == {one, other}
    assert add not in flow.tasks
    assert flow.constants[one] == {"x": 1}
    assert flow.constants[other] == {"y": 2}
    assert flow.upstream_tasks(other) == {one}
    assert other.run(3, 4) == 7


def test_binding_puts_the_task_itself_into_the_flow() -> None:
    mine = Add()
    with Flow("f") as flow:
        assert mine.bind(1) is mine
    assert flow.tasks == {mine}


@pytest.mark.parametrize(
    ("made", "hint"),
    [
        (add, "you need to call `add.run(...)`"),
        (Add(), "you need to call `Add(...).run(...)`"),
        (wait, "you need to call `wait.run(...)`"),
    ],
)
def test_calling_outside_a_flow_is_explained(made: Task, hint: str) -> None:
    for attempt in (lambda: made(1), lambda: made.bind(1), lambda: made.map([1])):
        with pytest.raises(FlowError) as caught:
            attempt()
        assert str(caught.value).startswith("Could not infer an active Flow context while creating edge to <Task: ")
        assert str(caught.value).endswith(hint)
    for attempt in (lambda: made.set_upstream(Add()), lambda: made.set_downstream(Add()), made.set_dependencies):
        with pytest.raises(FlowError, match=r"^No Flow was passed, and could not infer an active Flow context\.$"):
            attempt()


def test_calling_with_a_flow_needs_no_block() -> None:
    flow = Flow("f")
    one = add(1, flow=flow)
    other = add([one, {"a": one}], flow=flow, upstream_tasks=[(one, 2)])
    assert {one, other} < flow.tasks
    assert len(flow.tasks) == 6  # a list, a dict with its values in a list, and a tuple
    flow.sorted_tasks()


def test_a_given_flow_wins_over_the_one_being_written() -> None:
    mine = Flow("mine")
    with Flow("written") as written:
        one = add(1, flow=mine)
        add([one], {one}, flow=mine)
        add({"k": one}, (one,), flow=mine)
        add.map([one], flow=mine)
        Add().bind([one], flow=mine)
        Add("last").set_upstream([one], flow=mine).set_downstream(Add("very last"), flow=mine)
    assert written.tasks == set()
    assert one in mine.tasks


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, "missing a required argument: 'x'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"z": 2}, "got an unexpected keyword argument 'z'"),
        ((1,), {"x": 2}, "multiple values for argument 'x'"),
    ],
)
def test_wrong_arguments_are_errors_when_the_flow_is_written(
    args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    with Flow("f") as flow, pytest.raises(TypeError) as caught:
        add(*args, **kwargs)
    assert str(caught.value).startswith("Task 'add': ")
    assert words in str(caught.value)
    assert flow.tasks == set()


def test_upstream_tasks() -> None:
    with Flow("f") as flow:
        one, other = add(1), add(2)
        last = add(3, upstream_tasks=[one, other])
    assert flow.upstream_tasks(last) == {one, other}
    assert {edge.key for edge in flow.edges_to(last)} == {None}


def test_one_upstream_task_is_not_a_list() -> None:
    with Flow("f"):
        one = add(1)
        with pytest.raises(TypeError, match=r"^Task is not iterable\. .*write upstream_tasks=\[<Task: add>\]"):
            add(2, upstream_tasks=one)


def test_setting_dependencies() -> None:
    with Flow("f") as flow:
        a, b, c = Add("a").bind(1), Add("b"), Add("c").bind(1)
        assert b.set_upstream(a, key="x") is b
        assert b.set_downstream(c) is b
        assert c.set_upstream(5, key="y") is c
    assert flow.upstream_tasks(b) == {a}
    assert b in flow.upstream_tasks(c)
    flow.validate()


# -- mapping --------------------------------------------------------------------------------------------------------------


def test_mapping_maps_every_argument() -> None:
    with Flow("f") as flow:
        one = add(1)
        many = add.map(one, y=[1, 2], upstream_tasks=[one])
    edges = flow.edges_to(many)
    assert {(edge.key, edge.mapped) for edge in edges} == {("x", True), ("y", True), (None, True)}


@pytest.mark.parametrize("value", [5, {1, 2}, (x for x in [1]), None, iter([])])
def test_what_cannot_be_mapped_is_said_at_once(value: Any) -> None:
    with Flow("f"), pytest.raises(TypeError, match="Cannot map over unsubscriptable object of type "):
        add.map(value)


def test_mapping_takes_task_args() -> None:
    with Flow("f") as flow:
        many = add.map([1, 2], task_args={"name": "many", "timeout": 1})
    assert (many.name, many.timeout) == ("many", 1)
    assert many in flow.tasks
    assert add.name == "add"


def test_a_mapped_copy_is_not_unpacked() -> None:
    made = Add(nout=2)
    with Flow("f"):
        assert made.map([1]).nout is None
        assert made.map([1], task_args={"nout": 3}).nout == 3
        assert made(1).nout == made([1], mapped=True).nout == 2


@pytest.mark.parametrize("value", [[1, 2], (1,), "abc", {"a": 1}, range(3)])
def test_what_can_be_indexed_is_mapped_as_a_node(value: Any) -> None:
    with Flow("f") as flow:
        many = add.map(value)
    (edge,) = flow.edges
    assert (edge.upstream_task.value, edge.key, edge.mapped, flow.constants[many]) == (value, "x", True, {})


def test_keywords_are_looked_at_when_it_runs() -> None:
    with Flow("f") as flow:
        add.map(x=5)
        add.map(flatten(5))
        add.map(unmapped(5), y=[1])
    assert sorted((edge.key, edge.mapped, edge.flattened) for edge in flow.edges) == [
        ("x", True, False),
        ("x", True, True),
        ("y", True, False),
    ]


def test_the_words_for_what_cannot_be_mapped() -> None:
    with pytest.raises(TypeError, match=r"^Cannot map over unsubscriptable object of type <class 'int'>: 5\.\.\.$"):
        add.map(5, flow=Flow("f"))
    with pytest.raises(
        TypeError, match=r"^Cannot map over unsubscriptable object of type <class 'generator'>: <generator\.\.\.$"
    ):
        add.map((x for x in []), flow=Flow("f"))


def test_tasks_join_in_the_order_upstreams_then_arguments() -> None:
    with Flow("f") as flow:
        Add("outer").bind(x=Add("x"), y=[Add("y")], upstream_tasks=[Add("up")])
    assert [each.name for each in flow.slugs] == ["outer", "up", "x", "List", "y"]


def test_what_a_task_does_not_say_is_a_setting() -> None:
    with context(config={"task_max_retries": 2, "task_retry_delay": 3.0, "task_timeout": 4.0}):
        quiet, chatty = Task(), Task(max_retries=0, timeout=1)
        other = Task(max_retries=1)
    assert (quiet.max_retries, quiet.retry_delay, quiet.timeout) == (2, timedelta(seconds=3), 4)
    assert (chatty.max_retries, chatty.retry_delay, chatty.timeout) == (0, None, 1)
    assert (other.max_retries, other.retry_delay) == (1, timedelta(seconds=3))
    with context(config={"eager_edge_validation": True}), Flow("eager") as flow:
        a, b = Task("a"), Task("b")
        flow.add_edge(a, b)
        with pytest.raises(FlowError, match="Cycle found"):
            flow.add_edge(b, a)
