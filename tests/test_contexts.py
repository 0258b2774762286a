from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from prefectlite.contexts import Context, context, enter_values


@pytest.fixture(autouse=True)
def in_a_context_of_its_own() -> Iterator[None]:
    """What a test sets is gone after it."""
    enter_values({})
    yield
    enter_values({})


def test_values_are_read_in_three_ways() -> None:
    enter_values({"map_index": 3, "nothing": None})
    assert context.map_index == 3
    assert context["map_index"] == 3
    assert context.get("map_index") == 3
    assert context.nothing is None
    assert "nothing" in context
    assert context.get("nothing", "default") is None


def test_missing_values() -> None:
    assert "task_name" not in context
    assert context.get("task_name") is None
    assert context.get("task_name", 5) == 5
    with pytest.raises(AttributeError, match=r"prefectlite\.context has no value 'task_name' here"):
        context.task_name  # noqa: B018
    with pytest.raises(KeyError, match="task_name"):
        context["task_name"]
    assert not hasattr(context, "task_name")
    assert getattr(context, "task_name", "default") == "default"


def test_values_can_be_set() -> None:
    context.first = 1
    context["second"] = 2
    assert context.to_dict() == {"first": 1, "second": 2}


def test_what_is_given_out_is_a_copy() -> None:
    context.first = 1
    context.to_dict()["first"] = 2
    assert context.first == 1


def test_entering_takes_the_place_of_what_was_there() -> None:
    context.first = 1
    enter_values({"second": 2})
    assert context.to_dict() == {"second": 2}


def test_setting_leaves_the_entered_dictionary_alone() -> None:
    mine = {"first": 1}
    enter_values(mine)
    context.second = 2
    assert mine == {"first": 1}


def test_a_block_ends_with_what_was_before() -> None:
    context.first = 1
    with context({"second": 2}, {"third": 3}, second="b") as inside:
        assert inside is context
        assert context.to_dict() == {"first": 1, "second": "b", "third": 3}
        with context(first="inner"):
            assert context.first == "inner"
        context.fourth = 4
    assert context.to_dict() == {"first": 1}


def test_a_block_ends_when_it_raises() -> None:
    with pytest.raises(ZeroDivisionError), context(first=1):
        raise ZeroDivisionError
    assert context.to_dict() == {}


def test_a_block_begins_when_it_is_entered() -> None:
    block = context(first=1)
    assert "first" not in context
    with block:
        assert context.first == 1


@pytest.mark.asyncio
async def test_coroutines_see_their_own() -> None:
    context.shared = "outer"
    meeting = asyncio.Barrier(2)

    async def one(value: int) -> dict[str, Any]:
        context.mine = value
        await meeting.wait()
        return context.to_dict()

    assert await asyncio.gather(one(1), one(2)) == [{"shared": "outer", "mine": 1}, {"shared": "outer", "mine": 2}]
    assert context.to_dict() == {"shared": "outer"}


def test_threads_see_what_is_carried_to_them() -> None:
    context.mine = 1
    seen: list[Any] = []
    carried = contextvars.copy_context()
    for target in (lambda: seen.append(context.get("mine")), lambda: carried.run(lambda: seen.append(context.mine))):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert seen == [None, 1]


def test_the_logger_is_that_of_the_run_or_one_of_the_task() -> None:
    assert context.logger is logging.getLogger("prefectlite.flow")
    context.task_name = "extract"
    assert context.logger is logging.getLogger("prefectlite.extract")
    mine = logging.getLogger("mine")
    context.logger = mine
    assert context.logger is mine


@pytest.mark.parametrize("attempt", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_is_not_carried_elsewhere_as_a_value(attempt: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="read its values where you need them"):
        attempt(context)


def test_there_is_one() -> None:
    context.first = 1
    assert Context().first == 1
    assert repr(context) == "<Context>"
