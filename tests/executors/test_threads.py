from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import io
import logging
import random
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from prefectlite.executors import threads as module
from prefectlite.executors.threads import Interrupted, OwnThread, ThreadPool, end_if_abandoned, stopped_by, waiting_for
from prefectlite.results import codec

Pools = Callable[[int], ThreadPool]
PATIENCE = 10  # seconds; nothing here waits that long unless it fails


class Value:
    """Something that can be watched."""


def workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "prefectlite-worker"}


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[Pools]:
    """Pools of any size, whose threads have ended after the test."""
    before = workers()
    made: list[ThreadPool] = []

    def make(size: int) -> ThreadPool:
        made.append(ThreadPool(size))
        return made[-1]

    yield make
    for each in made:
        each.close()
    await asyncio.to_thread(ended, workers() - before)


def ended(threads: set[threading.Thread]) -> None:
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


async def happened(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, PATIENCE)


def spin(began: threading.Event, ended: threading.Event) -> None:
    """Pure Python that never ends by itself."""
    try:
        began.set()
        while True:
            pass
    finally:
        ended.set()


# -- results --------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_a_job_returns_or_raises(pool: Pools) -> None:
    threads = pool(2)
    assert await threads.submit(lambda: 5).result == 5
    assert await threads.submit(lambda: None).result is None
    assert await threads.submit(threading.get_ident).result != threading.get_ident()
    for error in (ValueError("no"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()):
        with pytest.raises(type(error)) as caught:
            await threads.submit(raising(error)).result
        assert caught.value.args == error.args
    assert await threads.submit(lambda: "still here").result == "still here"


@pytest.mark.asyncio
async def test_stop_iteration_is_a_runtime_error(pool: Pools) -> None:
    with pytest.raises(RuntimeError, match=r"the function raised StopIteration\(7\)"):
        await pool(1).submit(raising(StopIteration(7))).result


def raising(error: BaseException) -> Callable[[], Any]:
    def work() -> None:
        raise error

    return work


@pytest.mark.asyncio
async def test_all_results_arrive_whoever_is_first(pool: Pools) -> None:
    threads = pool(4)
    jobs = [threads.submit(lambda n=n: n) for n in range(1_000)]  # type: ignore[misc]
    assert await asyncio.gather(*(job.result for job in jobs)) == list(range(1_000))


@pytest.mark.asyncio
async def test_results_are_handed_back_together(pool: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, done = pool(4), threading.Semaphore(0)
    loop = asyncio.get_running_loop()
    wake_ups: list[Any] = []
    wake = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: (wake_ups.append(args), wake(*args)))
    jobs = [threads.submit(done.release) for _ in range(200)]
    for _ in jobs:  # the loop is kept busy meanwhile
        assert done.acquire(timeout=PATIENCE)
    await asyncio.gather(*(job.result for job in jobs))
    assert len(wake_ups) <= 5  # one, and one more for each thread that was a moment late


# -- threads --------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_threads_are_started_as_they_are_needed(pool: Pools) -> None:
    before, threads = workers(), pool(3)
    assert workers() == before
    await threads.submit(lambda: None).result
    assert len(workers() - before) == 1
    go, meeting = threading.Event(), threading.Barrier(4)
    jobs = [threads.submit(lambda: (meeting.wait(PATIENCE), go.wait(PATIENCE))) for _ in range(3)]
    late = threads.submit(lambda: "late")
    await asyncio.to_thread(meeting.wait, PATIENCE)  # three jobs are executed at once
    assert len(workers() - before) == 3
    assert not late.result.done()
    go.set()
    assert await late.result == "late"
    await asyncio.gather(*(job.result for job in jobs))


@pytest.mark.asyncio
async def test_a_job_tells_when_it_begins_if_asked(pool: Pools) -> None:
    threads, go = pool(1), threading.Event()
    first = threads.submit(lambda: go.wait(PATIENCE), tell_begin=True)
    second = threads.submit(lambda: None, tell_begin=True)
    assert first.begun is not None
    assert second.begun is not None
    await first.begun
    assert not second.begun.done()
    go.set()
    await second.result
    await second.begun
    assert threads.submit(lambda: None).begun is None


@pytest.mark.asyncio
async def test_jobs_begin_in_their_order(pool: Pools) -> None:
    threads, order = pool(1), list[int]()
    jobs = [threads.submit(lambda n=n: order.append(n)) for n in range(50)]  # type: ignore[misc]
    await asyncio.gather(*(job.result for job in jobs))
    assert order == list(range(50))


@pytest.mark.asyncio
async def test_closing_lets_the_threads_end_after_their_work(pool: Pools) -> None:
    before, threads = workers(), pool(2)
    jobs = [threads.submit(lambda n=n: n) for n in range(20)]  # type: ignore[misc]
    mine = workers() - before
    threads.close()
    assert await asyncio.gather(*(job.result for job in jobs)) == list(range(20))
    await asyncio.to_thread(ended, mine)


def test_a_job_that_outlives_its_loop_ends_quietly() -> None:
    before, go = workers(), threading.Event()

    async def main() -> None:
        threads = ThreadPool(1)
        job = threads.submit(lambda: go.wait(PATIENCE), tell_begin=True)
        assert job.begun is not None
        await job.begun
        threads.close()

    asyncio.run(main())
    mine = workers() - before
    assert len(mine) == 1
    go.set()
    ended(mine)  # an exception in it would be a warning, and so an error


STUCK = """
import asyncio, threading
from prefectlite.executors.threads import ThreadPool

async def main():
    held = threading.Lock()
    held.acquire()
    await ThreadPool(1).submit(held.acquire, tell_begin=True).begun

asyncio.run(main())
print("ends")
"""


def test_a_stuck_job_does_not_keep_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (0, "ends\n"), done.stderr


# -- abandoning -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_abandoning_interrupts_python_code(pool: Pools) -> None:
    threads, began, over = pool(1), threading.Event(), threading.Event()
    job = threads.submit(lambda: spin(began, over))
    await happened(began)
    threads.abandon(job)
    await happened(over)
    assert job.result.cancelled()
    assert await threads.submit(lambda: "next").result == "next"


@pytest.mark.asyncio
async def test_the_code_sees_an_interruption_that_no_except_exception_swallows(pool: Pools) -> None:
    threads, began, seen = pool(1), threading.Event(), list[BaseException]()
    over = threading.Event()

    def stubborn() -> None:
        try:
            while True:
                try:
                    began.set()
                    time.sleep(0.001)
                except Exception as error:
                    seen.append(error)
        except BaseException as error:
            seen.append(error)
            raise
        finally:
            over.set()

    job = threads.submit(stubborn)
    await happened(began)
    threads.abandon(job)
    await happened(over)
    assert [type(error) for error in seen] == [Interrupted]


@pytest.mark.asyncio
async def test_code_that_swallows_everything_is_not_waited_for(pool: Pools) -> None:
    threads, began, over = pool(1), threading.Event(), threading.Event()

    def swallowing() -> str:
        try:
            spin(began, threading.Event())
        except BaseException:
            over.set()
        return "a result that nobody wants"

    job = threads.submit(swallowing)
    await happened(began)
    threads.abandon(job)
    await happened(over)
    assert await threads.submit(lambda: "next").result == "next"
    assert job.result.cancelled()


@pytest.mark.asyncio
async def test_code_that_lost_its_interruption_is_interrupted_again(pool: Pools) -> None:
    """As when it comes in a `__del__` or in a callback of the garbage collector's."""
    threads, began, over = pool(1), threading.Event(), threading.Event()

    def goes_on() -> None:
        with contextlib.suppress(BaseException):
            spin(began, threading.Event())
        spin(threading.Event(), over)

    job = threads.submit(goes_on)
    await happened(began)
    threads.abandon(job)
    await happened(over)


@pytest.mark.asyncio
async def test_code_that_cleans_up_is_interrupted_once(pool: Pools) -> None:
    threads, began, over, seen = pool(1), threading.Event(), threading.Event(), list[BaseException]()

    def cleans_up() -> None:
        try:
            spin(began, threading.Event())
        finally:
            until = time.monotonic() + 10 * module.AGAIN
            while time.monotonic() < until:
                try:
                    raise OSError("of another kind")  # the interruption is its context
                except BaseException as error:
                    seen.append(error)
            over.set()

    job = threads.submit(cleans_up)
    await happened(began)
    threads.abandon(job)
    await happened(over)
    assert {type(error) for error in seen} == {OSError}


@pytest.mark.asyncio
async def test_a_job_stuck_in_c_is_replaced(pool: Pools) -> None:
    before, threads, held, began = workers(), pool(1), threading.Lock(), threading.Event()
    held.acquire()
    job = threads.submit(lambda: (began.set(), held.acquire()))
    await happened(began)
    threads.abandon(job)
    assert await threads.submit(lambda: "next").result == "next"
    assert len(workers() - before) == 2
    held.release()
    await asyncio.to_thread(ended, {thread for thread in workers() if thread.ident == job.thread})
    assert await threads.submit(lambda: "one worker again").result == "one worker again"


@pytest.mark.asyncio
async def test_abandoning_twice_replaces_once(pool: Pools) -> None:
    before, threads, held, began = workers(), pool(1), threading.Lock(), threading.Event()
    held.acquire()
    job = threads.submit(lambda: (began.set(), held.acquire()))
    await happened(began)
    threads.abandon(job)
    threads.abandon(job)
    await threads.submit(lambda: None).result
    assert len(workers() - before) == 2
    held.release()


@pytest.mark.asyncio
async def test_a_job_that_waits_is_dropped(pool: Pools) -> None:
    threads, go, ran = pool(1), threading.Event(), list[str]()
    first = threads.submit(lambda: go.wait(PATIENCE))
    dropped = threads.submit(lambda: ran.append("dropped"), tell_begin=True)
    last = threads.submit(lambda: ran.append("last"))
    threads.abandon(dropped)
    go.set()
    await asyncio.gather(first.result, last.result)
    assert ran == ["last"]
    assert dropped.result.cancelled()
    assert dropped.begun is not None
    assert not dropped.begun.done()


@pytest.mark.asyncio
async def test_abandoning_what_has_ended_changes_nothing(pool: Pools) -> None:
    before, threads = workers(), pool(1)
    job = threads.submit(lambda: 5)
    assert await job.result == 5
    threads.abandon(job)
    assert job.result.result() == 5
    assert await threads.submit(lambda: 6).result == 6
    assert len(workers() - before) == 1


@pytest.mark.asyncio
async def test_jobs_may_be_abandoned_at_any_moment(pool: Pools) -> None:
    threads = pool(3)
    jobs = [threads.submit(lambda: sum(range(300))) for _ in range(600)]
    for job in jobs[::2]:
        threads.abandon(job)
        await asyncio.sleep(0)
    assert await asyncio.gather(*(job.result for job in jobs[1::2])) == [sum(range(300))] * 300
    assert all(job.result.cancelled() or job.result.result() == sum(range(300)) for job in jobs)
    # Every worker that was interrupted has its successor: three jobs can still meet.
    meeting = threading.Barrier(3)
    await asyncio.gather(*(threads.submit(lambda: meeting.wait(PATIENCE)).result for _ in range(3)))


@pytest.mark.asyncio
async def test_cancelling_who_waits_does_not_stop_the_job(pool: Pools) -> None:
    threads, go, over = pool(1), threading.Event(), threading.Event()
    job = threads.submit(lambda: (go.wait(PATIENCE), over.set()), tell_begin=True)
    waiting = asyncio.ensure_future(job.result)
    assert job.begun is not None
    await job.begun
    waiting.cancel()
    go.set()
    await happened(over)


@pytest.mark.asyncio
async def test_a_dropped_job_keeps_nothing_while_it_waits(pool: Pools) -> None:
    threads, go, used = pool(1), threading.Event(), Value()
    blocking = threads.submit(lambda: go.wait(PATIENCE), tell_begin=True)
    job = threads.submit(lambda used=used: None)  # type: ignore[misc]
    threads.abandon(job)
    gone = weakref.ref(used)
    del used
    assert gone() is None
    go.set()
    await blocking.result


@pytest.mark.asyncio
async def test_code_that_goes_on_is_reported(pool: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STUCK", 0.05)
    threads, held, began, reported = pool(1), threading.Lock(), threading.Event(), list[str]()
    held.acquire()
    stuck = threads.submit(lambda: (began.set(), held.acquire()))
    await happened(began)
    threads.abandon(stuck, lambda: reported.append("stuck"))
    began.clear()
    ends = threads.submit(lambda: spin(began, threading.Event()))
    await happened(began)
    threads.abandon(ends, lambda: reported.append("ends"))
    await asyncio.sleep(0.1)
    assert reported == ["stuck"]
    held.release()


@pytest.mark.asyncio
async def test_no_interruption_while_a_lock_of_loggings_is_taken(pool: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would come just after that, and the lock would be taken for ever."""
    threads, began, over = pool(1), threading.Event(), threading.Event()
    logger, handler, text = logging.getLogger("shared"), logging.StreamHandler(stream := io.StringIO()), list[str]()
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)

    def work() -> None:
        began.set()
        logger.warning("something")
        text.append(stream.getvalue())
        spin(threading.Event(), over)

    assert handler.lock is not None
    with handler.lock:
        job = threads.submit(work)
        await happened(began)
        await asyncio.sleep(0.02)  # it waits for the lock
        threads.abandon(job)
        assert await threads.submit(lambda: "next").result == "next"  # the place is free at once
    await happened(over)
    assert text == ["something\n"]
    assert await asyncio.to_thread(lambda: handler.acquire() or handler.release()) is None


@pytest.mark.asyncio
async def test_no_interruption_of_our_own_code(pool: Pools) -> None:
    threads, began, go, over, seen = pool(1), threading.Event(), threading.Event(), threading.Event(), list[str]()

    class Slow:
        def __reduce__(self) -> Any:
            began.set()
            while not go.is_set():
                pass
            return str, ()

    def work() -> None:
        seen.append(codec.encode(Slow(), 1_000).encoding)
        spin(threading.Event(), over)

    job = threads.submit(work)
    await happened(began)
    threads.abandon(job)
    assert await threads.submit(lambda: "next").result == "next"
    go.set()
    await happened(over)
    assert seen == ["cloudpickle"]


@pytest.mark.asyncio
async def test_a_stoppable_job_is_stopped_and_not_interrupted(pool: Pools) -> None:
    before, threads, began, stop, over = workers(), pool(1), threading.Event(), threading.Event(), list[str]()

    def work() -> None:
        with stopped_by(stop.set):
            began.set()
            while not stop.is_set():
                pass
            over.append("in order")

    job = threads.submit(work)
    await happened(began)
    threads.abandon(job)
    threads.abandon(job)
    assert await threads.submit(lambda: "next").result == "next"
    assert over == ["in order"]
    assert len(workers() - before) == 1  # the same one


@pytest.fixture
def no_callbacks_of_the_collector() -> Iterator[None]:
    """An exception that comes in one of them is shown on stderr: an error of the next test, as pytest sees it."""
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks[:] = callbacks


@pytest.mark.asyncio
@pytest.mark.usefixtures("no_callbacks_of_the_collector")
async def test_at_speed_no_place_is_lost(pool: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of every kind, abandoned at every moment."""
    threads, before, dice = pool(8), workers(), random.Random(5)
    logger = logging.getLogger("prefectlite.stress")
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(io.StringIO())])
    monkeypatch.setattr(logger, "propagate", False)

    def spins() -> None:
        spin(threading.Event(), threading.Event())

    def logs() -> None:
        while True:
            logger.warning("still here")
            end_if_abandoned()  # as the handler of a run's log does

    def swallows() -> int:
        for _ in range(3):
            with contextlib.suppress(BaseException):
                sum(range(20_000))
        return 3

    kinds: list[Callable[[], Any]] = [spins, logs, swallows, lambda: 4, lambda: time.sleep(0.001)]
    for _ in range(60):
        jobs = [threads.submit(dice.choice(kinds)) for _ in range(12)]
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0.001 * dice.randrange(3))
        for job in jobs:
            threads.abandon(job)
        logger.warning("the loop is alive")
    meeting = threading_barrier(8)
    await asyncio.wait_for(asyncio.gather(*(threads.submit(meeting).result for _ in range(8))), PATIENCE)
    for _ in range(500):  # the replaced ones go
        if len(workers() - before) <= 8:
            break
        await asyncio.sleep(0.01)
    assert len(workers() - before) <= 8


def threading_barrier(parties: int) -> Callable[[], int]:
    barrier = threading.Barrier(parties)
    return lambda: barrier.wait(PATIENCE)


# -- the end --------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_closed_pool_takes_no_job(pool: Pools) -> None:
    threads = pool(1)
    threads.close()
    threads.close()
    with pytest.raises(RuntimeError, match="the thread pool is closed"):
        threads.submit(lambda: None)


@pytest.mark.asyncio
async def test_threads_that_come_after_the_closing_end_too(pool: Pools) -> None:
    threads, go, over = pool(1), threading.Event(), threading.Event()
    mine = workers()

    def wait() -> None:
        with waiting_for(over.set):  # lets another worker come for the job that waits
            go.wait(PATIENCE)

    first, second = threads.submit(wait, tell_begin=True), threads.submit(go.set)
    threads.close()
    await asyncio.gather(first.result, second.result)
    await asyncio.to_thread(ended, workers() - mine)


@pytest.mark.asyncio
async def test_an_operating_system_without_threads_to_give(pool: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, warned = pool(2), list[str]()
    monkeypatch.setattr(module._logger, "warning", lambda text, *args: warned.append(text % args))
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    job = threads.submit(lambda: "late")
    monkeypatch.setattr(threading.Thread, "start", start)
    assert "can't start new thread" in warned[0]
    assert await threads.submit(lambda: "now").result == "now"
    assert await job.result == "late"


# -- a thread of one's own ------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_own_thread_is_one_thread_for_all_jobs_in_their_order() -> None:
    before, own, order = workers(), OwnThread(), list[int]()

    def work(n: int) -> int:
        order.append(n)
        with waiting_for(lambda: None):  # a pool lets another worker run meanwhile
            time.sleep(0.002)
        return threading.get_ident()

    jobs = [own.submit(lambda n=n: work(n)) for n in range(20)]  # type: ignore[misc]
    assert len(set(await asyncio.gather(*(job.result for job in jobs)))) == 1
    assert order == list(range(20))
    mine = workers() - before
    assert len(mine) == 1
    own.close()
    await asyncio.to_thread(ended, mine)


@pytest.mark.asyncio
async def test_another_own_thread_takes_over_after_an_abandoned_job() -> None:
    own, began, over = OwnThread(), threading.Event(), threading.Event()
    first = await own.submit(threading.get_ident).result
    job = own.submit(lambda: spin(began, over))
    await happened(began)
    own.abandon(job)
    await happened(over)
    idents = {await own.submit(threading.get_ident).result for _ in range(3)}
    assert len(idents) == 1
    assert idents != {first}
    own.close()


# -- memory ---------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["returned", "raised", "abandoned", "dropped"])
async def test_an_idle_worker_keeps_nothing_alive(pool: Pools, how: str) -> None:
    threads, began, over = pool(1), threading.Event(), threading.Event()
    await threads.submit(lambda: None).result
    used, made = await leave_behind(threads, how, began, over)
    if how == "dropped":
        await threads.submit(lambda: None).result  # the worker has come by
    for _ in range(200):
        gc.collect()
        if used() is None and made() is None:
            break
        await asyncio.sleep(0.005)
    assert used() is None
    assert made() is None


async def leave_behind(threads: ThreadPool, how: str, began: threading.Event, over: threading.Event) -> tuple[Any, Any]:
    """Weak references to what a job used and to what it returned."""
    used, made = Value(), Value()

    def work(used: Any = used, made: Any = made) -> Any:
        if how == "abandoned":
            spin(began, over)
        if how == "raised":
            raise ValueError(used, made)
        return made

    if how == "dropped":
        blocking = threads.submit(lambda: over.wait(PATIENCE))
    job = threads.submit(work)
    if how == "abandoned":
        await happened(began)
        threads.abandon(job)
        await happened(over)
    elif how == "dropped":
        threads.abandon(job)
        over.set()
        await blocking.result
    elif how == "raised":
        with pytest.raises(ValueError, match="Value"):
            await job.result
    else:
        assert await job.result is made
    return weakref.ref(used), weakref.ref(made)


@pytest.mark.asyncio
async def test_the_context_is_the_callers_to_carry(pool: Pools) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")
    variable.set("mine")
    assert await pool(1).submit(variable.get).result == "default"
    context = contextvars.copy_context()
    assert await pool(1).submit(lambda: context.run(variable.get)).result == "mine"
