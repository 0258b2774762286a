from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import Flow, Task, task, unmapped
from prefectlite.language.building import as_task
from prefectlite.language.collections import Constant, Dict, List, Set, Tuple

LEAVES = st.integers() | st.text(max_size=3) | st.none()
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.sets(LEAVES, max_size=3)
    ),
    max_leaves=20,
)


@task
def leaf(value: Any) -> Any:
    return value


def with_tasks(value: Any) -> Any:
    """`value` with every leaf in it replaced by a task that results in it."""
    if isinstance(value, list | tuple | set):
        return type(value)(with_tasks(item) for item in value)
    if isinstance(value, dict):
        return {key: with_tasks(item) for key, item in value.items()}
    return leaf(value)


def evaluate(flow: Flow, wanted: Task) -> Any:
    """The value of `wanted`, found without the engine."""
    results: dict[Task, Any] = {}
    for each in flow.sorted_tasks():
        arguments = {edge.key: results[edge.upstream_task] for edge in flow.incoming(each)} | flow.constants.get(each, {})
        value = each.run(**arguments)
        results[each] = asyncio.run(value) if each.is_async else value
    return results[wanted]


@settings(deadline=None)
@given(NESTED)
def test_any_nesting_of_tasks_has_the_value_it_shows(value: Any) -> None:
    with Flow("f") as flow:
        made = as_task(with_tasks(value))
        flow.add_task(made)
    assert evaluate(flow, made) == value


@pytest.mark.parametrize("kind", [list, tuple])
def test_order_is_kept_beyond_nine(kind: type) -> None:
    with Flow("f") as flow:
        made = as_task(kind(leaf(n) for n in range(25)))
    assert evaluate(flow, made) == kind(range(25))


def test_tasks_and_constants_mix() -> None:
    with Flow("f") as flow:
        made = as_task({"a": [leaf(1), 2, unmapped(3)], "b": None})
    assert evaluate(flow, made) == {"a": [1, 2, 3], "b": None}


def test_a_set_of_tasks_is_the_same_graph_every_time() -> None:
    graphs = set()
    for _ in range(20):
        with Flow("f") as flow:
            leaves = [leaf(n, task_args={"name": f"leaf{n}"}) for n in range(4)]
            made = as_task({*leaves, 9, "x"})
        assert evaluate(flow, made) == {0, 1, 2, 3, 9, "x"}
        graphs.add(tuple((edge.key, edge.upstream_task.name) for edge in flow.incoming(made)))
    assert graphs == {tuple((f"arg_{n + 1}", f"leaf{n}") for n in range(4))}


def test_keys_may_be_anything_but_are_never_tasks() -> None:
    with Flow("f") as flow:
        made = as_task({(1, 2): leaf(1), None: 2})
    assert evaluate(flow, made) == {(1, 2): 1, None: 2}


@pytest.mark.asyncio
async def test_a_dict_needs_as_many_values_as_keys() -> None:
    with pytest.raises(ValueError, match="A different number of keys and values were provided!"):
        await Dict().run(keys=[1, 2], values=[1])


def test_the_same_task_twice() -> None:
    with Flow("f") as flow:
        one = leaf(1)
        made = as_task([one, one])
    assert evaluate(flow, made) == [1, 1]


@pytest.mark.parametrize("kind", [List, Tuple, Set, Dict])
def test_they_are_named_for_what_they_are(kind: type[Task]) -> None:
    assert kind().name == kind.__name__
    assert not kind().auto_generated
    assert kind().is_async  # they need no thread


class Shy:
    def __repr__(self) -> str:
        return "<a very shy object>"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (5, "5"),
        ("short", "'short'"),
        ([1, 2], "[1, 2]"),
        ("123456789", "Constant[str]"),
        (list(range(100)), "Constant[list]"),
        (Shy(), "Constant[Shy]"),
    ],
)
def test_the_name_of_a_constant(value: Any, name: str) -> None:
    made = Constant(value)
    assert (made.name, made.value, made.run(), made.is_constant) == (name, value, value, True)
    assert Constant(value, name="mine").name == "mine"


@pytest.mark.parametrize("kind", [List, Tuple, Set])
def test_they_can_be_bound_to_members_by_hand(kind: type[Task]) -> None:
    with Flow("f") as flow:
        one = leaf(1)
        bound = kind().bind(one, 2)
        called = kind()(one, 2, upstream_tasks=[one])
        with pytest.raises(TypeError, match=f"<Task: {kind.__name__}>: members have no names, so a cannot be given"):
            kind()(a=1)
        many = kind()([1, 2], mapped=True)
    for made in (bound, called):
        assert [edge.key for edge in flow.incoming(made) if edge.key] == ["arg_1"]
        assert flow.constants[made] == {"arg_2": 2}
        assert not made.auto_generated
    assert [edge.mapped for edge in flow.incoming(many)] == [True]


@pytest.mark.asyncio
async def test_members_are_in_the_order_of_their_numbers() -> None:
    assert await List().run(arg_1=1, arg_10=10, arg_2=2) == [1, 2, 10]
    assert await Tuple().run(arg_10=10, arg_1=1, arg_2=2) == (1, 2, 10)


def test_keys_are_a_constant_and_values_a_list() -> None:
    with Flow("f") as flow:
        made = as_task({"a": leaf(1), "b": 2})
    assert [each.name for each in flow.slugs] == ["leaf", "Dict", "List"]
    assert flow.constants[made] == {"keys": ["a", "b"]}
    assert [edge.key for edge in flow.incoming(made)] == ["values"]
