from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from prefectlite import Flow, Parameter, Task, task, triggers, unmapped
from prefectlite.language.delays import exponential_backoff
from prefectlite.language.serialized import digest_of, serialize


@dataclasses.dataclass
class Size:
    width: int
    unit: str = "mm"


@task
def source() -> list[int]:
    return [1]


@task(max_retries=2, retry_delay=1.5, timeout=60, trigger=triggers.any_failed, tags=["b", "a"])
def work(x: Any, y: Any = None) -> Any:
    return x


def parameter(default: Any) -> Any:
    with Flow("f") as flow:
        Parameter("p", default=default)()
    return serialize(flow)["parameters"][0]["default"]


def test_a_flow_in_full() -> None:
    with Flow("f") as flow:
        size = Parameter("size", default=3)
        work.map(source(upstream_tasks=[size]), y=unmapped(size))
    assert serialize(flow) == {
        "name": "f",
        "parameters": [{"name": "size", "slug": "size", "required": False, "default": 3}],
        "tasks": [
            {
                "slug": "size",
                "name": "size",
                "type": "prefectlite.language.parameter.Parameter",
                "mapped": False,
                "max_retries": 0,
                "retry_delay": None,
                "timeout": None,
                "trigger": "all_successful",
                "is_root_task": True,
                "is_terminal_task": False,
                "is_reference_task": False,
                "tags": [],
            },
            {
                "slug": "source-1",
                "name": "source",
                "type": "prefectlite.language.task.FunctionTask",
                "mapped": False,
                "max_retries": 0,
                "retry_delay": None,
                "timeout": None,
                "trigger": "all_successful",
                "is_root_task": False,
                "is_terminal_task": False,
                "is_reference_task": False,
                "tags": [],
            },
            {
                "slug": "work-a-b-1",
                "name": "work",
                "type": "prefectlite.language.task.FunctionTask",
                "mapped": True,
                "max_retries": 2,
                "retry_delay": 1_500_000,
                "timeout": 60_000_000,
                "trigger": "any_failed",
                "is_root_task": False,
                "is_terminal_task": True,
                "is_reference_task": True,
                "tags": ["a", "b"],
            },
        ],
        "edges": [
            {"upstream": "size", "downstream": "source-1", "key": None, "mapped": False, "flattened": False},
            {"upstream": "size", "downstream": "work-a-b-1", "key": "y", "mapped": False, "flattened": False},
            {"upstream": "source-1", "downstream": "work-a-b-1", "key": "x", "mapped": True, "flattened": False},
        ],
    }


def test_it_is_json() -> None:
    with Flow("f") as flow:
        Parameter("p", default={(1, 2): {1, 2}})()
        work(source(), y=[source()], task_args={"trigger": lambda states: True})
    serialized = serialize(flow)
    assert msgspec.json.decode(msgspec.json.encode(serialized)) == serialized


@pytest.mark.parametrize(
    ("default", "shown"),
    [
        (None, None),
        ([1, (2, "ü")], [1, [2, "ü"]]),
        ({1: 2}, {"1": 2}),
        ({"b", "a", "c"}, ["a", "b", "c"]),
        (2**70, 2**70),
        (Size(3), {"width": 3, "unit": "mm"}),
        (len, "<built-in function len>"),
        ("\udcff", "'\\udcff'"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (object(), "<object object>"),
    ],
)
def test_defaults_as_json_or_as_people_would_write_them(default: Any, shown: Any) -> None:
    assert parameter(default) == shown


def test_a_default_that_holds_itself() -> None:
    itself: list[Any] = []
    itself.append(itself)
    assert parameter(itself) == "[[...]]"


@pytest.mark.parametrize(
    ("trigger", "shown"),
    [
        (triggers.always_run, "all_finished"),
        (functools.partial(triggers.all_failed), "functools.partial(<function all_failed>)"),
    ],
)
def test_triggers_by_name(trigger: Any, shown: str) -> None:
    with Flow("f") as flow:
        Task("t", trigger=trigger).bind()
    assert serialize(flow)["tasks"][0]["trigger"] == shown


def test_two_edges_between_the_same_tasks() -> None:
    serialized = []
    for _ in range(10):
        with Flow("f") as flow:
            one = source()
            target = Task("t").bind(upstream_tasks=[one])
            flow.add_edge(one, target, mapped=True)
        serialized.append(serialize(flow))
    assert [edge["mapped"] for edge in serialized[0]["edges"]] == [False, True]
    assert all(each == serialized[0] for each in serialized)


BUILD = """
import functools
from prefectlite import Flow, Parameter, task, triggers
from prefectlite.language.serialized import digest_of, serialize

@task(tags={"x", "y", "z"})
def leaf(): ...

@task(trigger=functools.partial(triggers.all_successful))
def gather(values, more): ...

with Flow("same") as flow:
    leaves = [leaf() for _ in range(8)]
    gather({*leaves, "k", 5}, more={"a": [leaves[0]], "b": {leaves[1], leaves[2]}}, upstream_tasks=leaves[:3])
    Parameter("names", default={"tick", "trick", "track", "trock"})()
    Parameter("thing", default=object())()
print(digest_of(serialize(flow)))
"""


def test_it_is_the_same_in_every_process() -> None:
    digests = set()
    for seed in ("1", "2", "3"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", BUILD], env=environ, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1


def test_the_digest_covers_flow_and_code() -> None:
    with Flow("f") as flow:
        source()
    with Flow("f") as larger:
        work(source())
    first = digest_of(serialize(flow))
    assert len(first) == 64
    assert first == digest_of(dict(reversed(serialize(flow).items())))
    assert (
        len({first, digest_of(serialize(larger)), digest_of(serialize(flow), "code"), digest_of(serialize(flow), "x")}) == 4
    )


@pytest.mark.parametrize(
    ("delay", "shown"), [(2, 2_000_000), ([0.5, 4], 500_000), (lambda attempt: attempt, None), (exponential_backoff(), None)]
)
def test_the_record_has_room_for_one_delay(delay: Any, shown: int | None) -> None:
    with Flow("f") as flow:
        Task("t", max_retries=2, retry_delay=delay).bind()
    serialized = serialize(flow)
    assert serialized["tasks"][0]["retry_delay"] == shown
    assert digest_of(serialized) == digest_of(serialize(flow))


@pytest.mark.parametrize(("timeout", "shown"), [(None, None), (3, 3_000_000), (0.25, 250_000), (1e-6, 1)])
def test_timeouts_are_in_microseconds(timeout: float | None, shown: int | None) -> None:
    with Flow("f") as flow:
        Task("t", timeout=timeout).bind()
    assert serialize(flow)["tasks"][0]["timeout"] == shown
