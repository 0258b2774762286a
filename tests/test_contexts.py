from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefectlite.contexts import Context, context, enter_values
from prefectlite.errors import SettingsError
from prefectlite.settings import Settings


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
    with pytest.raises(AttributeError, match=r"^'Context' object has no attribute 'task_name'"):
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
    assert context.logger is logging.getLogger("prefectlite")
    context.task_name = context.task_full_name = "extract"
    assert context.logger is context["logger"] is context.get("logger") is logging.getLogger("prefectlite.extract")
    context.task_full_name = "extract[3]"
    assert context.logger.name == "prefectlite.extract[3]"
    mine = logging.getLogger("mine")
    context.logger = mine
    assert context.logger is mine


@pytest.mark.parametrize("attempt", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_is_not_carried_elsewhere_as_a_value(attempt: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"Pickling context objects is explicitly not supported.*`prefectlite\.context`"):
        attempt(context)


def test_there_is_one() -> None:
    context.first = 1
    assert Context().first == 1
    assert repr(context) == str(context) == "<Context>"


def test_values_can_be_deleted() -> None:
    enter_values({"first": 1, "second": 2, "third": 3})
    del context.first
    del context["second"]
    assert context.to_dict() == {"third": 3}
    with pytest.raises(AttributeError, match=r"^'Context' object has no attribute 'first'"):
        del context.first
    with pytest.raises(KeyError, match=r"^'second'$"):
        del context["second"]


def test_it_is_a_mapping() -> None:
    enter_values({"first": 1, "second": 2})
    assert isinstance(context, MutableMapping)
    assert (list(context), len(context), "second" in context, "third" in context) == (["first", "second"], 2, True, False)
    assert (list(context.keys()), list(context.values())) == (["first", "second"], [1, 2])
    assert list(context.items()) == [("first", 1), ("second", 2)]
    assert dict(context) == {**context} == {"first": 1, "second": 2} == context
    assert {"first", "second", "get", "to_dict"} <= set(dir(context))
    with pytest.raises(TypeError, match="unhashable"):
        hash(context)


def test_the_methods_of_a_dictionary() -> None:
    assert context.setdefault("first", 1) == context.setdefault("first", 2) == 1
    assert context.setdefault("nothing") is None
    assert context.pop("first") == 1
    assert context.pop("first", 5) == 5
    with pytest.raises(KeyError, match="first"):
        context.pop("first")
    context.update({"first": 1}, second=2)
    context.update([("third", 3)])
    context.update()
    assert context.to_dict() == {"nothing": None, "first": 1, "second": 2, "third": 3}
    with pytest.raises(TypeError):
        context.update({"first": 1}, {"second": 2})
    assert context.popitem() == ("nothing", None)
    context.clear()
    assert len(context) == 0


def test_a_value_named_like_a_method_is_an_item() -> None:
    context["update"] = context.get_it = 3
    context.pop("get_it")
    context.update(keys=4)
    assert context.to_dict() == {"update": 3, "keys": 4}
    assert (context["update"], context.get("keys"), list(context.keys())) == (3, 4, ["update", "keys"])


def test_a_copy_is_read_like_the_context_and_changes_nothing_in_it() -> None:
    context.first = 1
    mine = context.copy()
    mine.second = 2
    assert (mine.first, mine["second"]) == (1, 2)
    assert context.to_dict() == {"first": 1}
    with pytest.raises(AttributeError, match="third"):
        _ = mine.third


def test_a_block_discards_every_change_made_in_it() -> None:
    enter_values({"first": 1, "second": 2})
    with context([("third", 3)], first="x"):
        del context["second"]
        context.fourth = 4
        context.update(fifth=5)
        context.pop("third")
        assert context.to_dict() == {"first": "x", "fourth": 4, "fifth": 5}
    assert context.to_dict() == {"first": 1, "second": 2}
    with context():
        context.clear()
    assert len(context) == 2


@pytest.mark.asyncio
async def test_a_block_may_end_in_another_context_than_it_began() -> None:
    async def values() -> AsyncGenerator[Any]:
        with context(first=1):
            yield context.first

    generator = values()
    assert await asyncio.create_task(anext(generator)) == 1
    await asyncio.create_task(generator.aclose())


@given(st.lists(st.sampled_from(["set", "delete", "clear", "enter", "leave"]), max_size=30), st.data())
def test_blocks_and_changes_as_a_stack_of_dictionaries(steps: list[str], data: st.DataObject) -> None:
    enter_values({})
    expected: list[dict[str, int]] = [{}]
    with ExitStack() as everything:
        blocks: list[Any] = []
        for step in steps:
            name, value = data.draw(st.sampled_from("abc")), data.draw(st.integers(0, 3))
            if step == "set":
                context[name] = expected[-1][name] = value
            elif step == "delete":
                assert context.pop(name, None) == expected[-1].pop(name, None)
            elif step == "clear":
                context.clear()
                expected[-1].clear()
            elif step == "enter":
                blocks.append(everything.enter_context(ExitStack()))
                blocks[-1].enter_context(context({name: value}))
                expected.append({**expected[-1], name: value})
            elif blocks:
                blocks.pop().close()
                expected.pop()
            assert context.to_dict() == expected[-1]
    assert context.to_dict() == expected[0]


def test_the_settings_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECTLITE_CONFIG", str(tmp_path / "none.toml"))
    assert (context.config.port, context["config"].port, context.get("config").port) == (8080, 8080, 8080)
    assert "config" in context
    assert "logger" in context
    assert context.to_dict() == {}
    monkeypatch.setenv("PREFECTLITE_PORT", "9000")
    assert context.config.port == 9000
    (tmp_path / "none.toml").write_text("max_threads = 3", encoding="utf-8")
    assert (context.config.port, context.config.max_threads) == (9000, 3)
    assert context.config is context.config
    with pytest.raises(AttributeError):
        _ = context.config.prot


def test_settings_for_the_length_of_a_block() -> None:
    with context(config={"checkpointing": False}):
        with context(config={"log_level": "DEBUG"}):
            assert (context.config.checkpointing, context.config.log_level) == (False, "DEBUG")
        assert (context.config.checkpointing, context.config.log_level) == (False, "INFO")
    assert context.config.checkpointing is True
    with context(config=Settings(port=1)):
        assert context.config == Settings(port=1)
    with pytest.raises(SettingsError, match=r"context\(config=…\): unknown setting 'prot'"), context(config={"prot": 1}):
        pass


def test_the_settings_file_says_what_is_there_at_first(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[context]\nregion = "north"\n[context.limits]\nrows = 5\n', encoding="utf-8")
    code = """if True:
        import threading
        from prefectlite import context
        print(context.region, context.limits["rows"], context.get("nothing"), list(context))
        thread = threading.Thread(target=lambda: (context.update(mine=1), print(dict(context))))
        thread.start(), thread.join()
        with context(region="south"):
            print(context.region)
        print(dict(context))
    """
    environ = {**os.environ, "PREFECTLITE_CONFIG": str(path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "north 5 None ['region', 'limits']",
        "{'region': 'north', 'limits': {'rows': 5}, 'mine': 1}",
        "south",
        "{'region': 'north', 'limits': {'rows': 5}}",
    ]


def test_nothing_is_loaded_before_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("prot = 1", encoding="utf-8")
    code = "from prefectlite import Flow, context, task; context.__class__"
    environ = {**os.environ, "PREFECTLITE_CONFIG": str(path)}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True)
