from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import pytest_asyncio

from prefectlite.contexts import context, enter_values
from prefectlite.engine.watchdog import Blockage, Watchdog

LIMIT = 0.08
LONG = 4 * LIMIT


def dogs() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefectlite-watchdog"]


class Heard:
    """What was reported, and from which context."""

    def __init__(self) -> None:
        self.blockages: list[Blockage] = []
        self.runs: list[str | None] = []

    def __call__(self, blockage: Blockage) -> None:
        self.blockages.append(blockage)
        self.runs.append(context.get("flow_run_id"))


@contextmanager
def watched(limit: float = LIMIT) -> Iterator[Heard]:
    heard = Heard()
    with closing(Watchdog(limit, heard)) as dog, dog.watching():
        yield heard


@pytest_asyncio.fixture(autouse=True)
async def no_thread_is_left() -> AsyncIterator[None]:
    yield
    for thread in dogs():
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()


async def blocks(seconds: float = LONG) -> None:
    enter_values({"task_full_name": "slow[3]", "flow_run_name": "brave-fox", "flow_run_id": "the run"})
    time.sleep(seconds)  # noqa: ASYNC251 - the blocking line


@pytest.mark.asyncio
async def test_a_blocking_coroutine_is_named_with_its_line(caplog: pytest.LogCaptureFixture) -> None:
    with watched() as heard, caplog.at_level(logging.WARNING, "prefectlite.watchdog"):
        await asyncio.create_task(blocks(), name="slow[3]")
        await asyncio.sleep(2 * LIMIT)
    (found,) = heard.blockages
    assert found.name == "Task 'slow[3]' of flow run 'brave-fox'"
    assert found.task is not None
    assert found.task.get_name() == "slow[3]"
    assert found.stack.endswith("# noqa: ASYNC251 - the blocking line")
    assert re.search(r'File ".*test_watchdog.py", line \d+, in blocks', found.stack)
    assert LIMIT < found.seconds < LONG  # while it blocks
    assert heard.runs == ["the run"]  # in the coroutine's own context
    (record,) = caplog.records
    assert record.name == "prefectlite.watchdog"
    assert record.getMessage().startswith("Task 'slow[3]' of flow run 'brave-fox' blocks the event loop, for 0.1 s so far")
    assert found.stack in record.getMessage()


@pytest.mark.asyncio
async def test_each_occurrence_is_reported_once() -> None:
    async def twice() -> None:
        await blocks()
        await asyncio.sleep(0)
        await blocks(2 * LONG)

    with watched() as heard:
        await asyncio.create_task(twice())
    assert [found.name for found in heard.blockages] == ["Task 'slow[3]' of flow run 'brave-fox'"] * 2


@pytest.mark.asyncio
async def test_what_blocks_deeper_is_shown_in_full() -> None:
    async def outer() -> None:
        await inner()

    async def inner() -> None:
        await asyncio.sleep(0)
        time.sleep(LONG)  # noqa: ASYNC251

    with watched() as heard:
        await asyncio.create_task(outer(), name="nobody's")
    (found,) = heard.blockages
    assert re.findall(r"in (\w+)\n", found.stack) == ["outer", "inner"]
    assert found.name == 'The asyncio task "nobody\'s"'


@pytest.mark.asyncio
async def test_a_callback_that_blocks() -> None:
    with watched() as heard:
        asyncio.get_running_loop().call_soon(time.sleep, LONG)  # no frame of its own
        asyncio.get_running_loop().call_soon(lambda: time.sleep(LONG))
        await asyncio.sleep(3 * LONG)
    (found,) = heard.blockages
    assert found.name == "A callback of the event loop"
    assert found.task is None


@pytest.mark.asyncio
async def test_a_first_step_that_blocks_is_noticed() -> None:
    with watched() as heard:
        await blocks()
    assert len(heard.blockages) == 1


@pytest.mark.asyncio
async def test_code_that_keeps_the_interpreter_is_noticed_afterwards() -> None:
    evil, text = re.compile("(a+)+$"), "a" * 22 + "b"

    async def backtrack() -> None:
        evil.match(text)  # seconds in C, with the interpreter's lock
        sum(range(1000))

    with watched() as heard:
        for _ in range(15):  # what others do on a busy machine may look the same, and is not reported
            await asyncio.sleep(LIMIT)
            began = time.monotonic()
            await asyncio.create_task(backtrack(), name="regex")
            assert time.monotonic() - began > LIMIT
            await asyncio.sleep(LIMIT)
            if heard.blockages:
                break
    assert [found.name for found in heard.blockages] == ["The asyncio task 'regex'"]


@pytest.mark.asyncio
async def test_a_busy_loop_is_not_a_blocked_one() -> None:
    async def short(end: float) -> None:
        while time.monotonic() < end:
            time.sleep(0.001)  # noqa: ASYNC251
            await asyncio.sleep(0)

    with watched() as heard:
        # One turn of the loop takes longer than the limit, and none of its steps does.
        await asyncio.gather(*(short(time.monotonic() + 4 * LIMIT) for _ in range(300)))
    assert heard.blockages == []


@pytest.mark.asyncio
@pytest.mark.parametrize("limit", [0, 60.0])
async def test_nothing_is_said_below_the_limit_or_without_one(limit: float) -> None:
    with watched(limit) as heard:
        await asyncio.create_task(blocks())
    assert heard.blockages == []
    assert limit or not dogs()


@pytest.mark.asyncio
async def test_it_watches_only_while_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, asked = Heard(), list[Callable[..., object]]()
    loop = asyncio.get_running_loop()
    call = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: (asked.append(args[0]), call(*args)))
    dog = Watchdog(LIMIT, heard)
    assert dogs() == []  # none before it is needed
    with dog.watching(), dog.watching():
        await asyncio.sleep(LIMIT)
    await asyncio.sleep(LIMIT)
    before = len(asked)
    assert before > 3
    await asyncio.create_task(blocks())
    assert len(asked) == before  # no timer, no question
    assert heard.blockages == []
    with dog.watching():
        await asyncio.create_task(blocks())
    assert len(heard.blockages) == 1
    dog.close()
    dog.close()
    with dog.watching():
        await asyncio.create_task(blocks())
    assert len(heard.blockages) == 1


@pytest.mark.asyncio
async def test_a_report_that_raises_does_not_end_it() -> None:
    calls: list[Blockage] = []

    def report(blockage: Blockage) -> None:
        calls.append(blockage)
        raise ValueError("no")

    with closing(Watchdog(LIMIT, report)) as dog, dog.watching():
        await asyncio.create_task(blocks())
        await asyncio.create_task(blocks())
    assert len(calls) == 2


def test_a_loop_that_closes_first_lets_the_thread_go() -> None:
    async def main() -> None:
        Watchdog(LIMIT).watching().__enter__()

    before = set(dogs())
    asyncio.run(main())
    (left,) = set(dogs()) - before
    left.join(5)
    assert not left.is_alive()
