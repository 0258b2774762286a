from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import prefectlite
from prefectlite import signals
from prefectlite.contexts import context, enter_values
from prefectlite.errors import SerializationError, WorkerDied
from prefectlite.executors.processes import Call, ProcessPool
from prefectlite.executors.worker_process import WorkerProcess
from prefectlite.states import Success

Pools = Callable[[int], ProcessPool]
PATIENCE = 20  # seconds; nothing here waits that long unless it fails


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[Pools]:
    """Pools of any size, none of whose processes is left after the test."""
    made: list[ProcessPool] = []

    def make(size: int) -> ProcessPool:
        made.append(ProcessPool(size))
        return made[-1]

    yield make
    for each in made:
        pids = [process.pid for process in each._idle]
        await asyncio.wait_for(each.aclose(), PATIENCE)
        assert not [pid for pid in pids if is_there(pid)]


def is_there(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        await asyncio.sleep(0.01)


def written(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def outcome(pool: ProcessPool, function: Callable[..., Any], **arguments: Any) -> Any:
    return await asyncio.wait_for(pool.submit(Call(function, arguments, "Task 'x'")).result, PATIENCE)


# -- what comes back ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_functions_are_called_in_another_process_that_stays(pool: Pools) -> None:
    one = pool(1)
    pid = await outcome(one, os.getpid)
    assert pid != os.getpid()
    assert await outcome(one, os.getpid) == pid
    assert await outcome(one, lambda a, b: {a: [b]}, a=1, b=(2, None)) == {1: [(2, None)]}
    assert await outcome(one, lambda: threading.current_thread() is threading.main_thread())


@pytest.mark.asyncio
async def test_coroutines_are_run_there(pool: Pools) -> None:
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    one = pool(1)
    assert await outcome(one, double, x=4) == 8
    assert await outcome(one, lambda: double(5)) == 10


class Local(Exception):
    """Defined here."""


class Fussy(Exception):
    """Can be pickled, but not read back."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"{what} {number}")


class Holding(ConnectionError):
    """Cannot be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


def raises(error: BaseException) -> None:
    raise error


@pytest.mark.asyncio
async def test_exceptions_come_back_as_themselves(pool: Pools) -> None:
    one = pool(1)
    for error in (
        ValueError("no", 3),
        Local("here"),
        KeyError("k"),
        SystemExit(3),
        GeneratorExit(),
        asyncio.CancelledError(),
    ):
        with pytest.raises(type(error)) as caught:
            await outcome(one, raises, error=error)
        assert type(caught.value) is type(error)
        assert caught.value.args == error.args
        assert "test_processes.py" in str(caught.value.__cause__)
        assert "worker.py" not in str(caught.value.__cause__)
    with pytest.raises(RuntimeError, match=r"StopIteration\(7\)"):
        await outcome(one, raises, error=StopIteration(7))


@pytest.mark.asyncio
async def test_signals_come_back(pool: Pools) -> None:
    def succeed() -> None:
        raise signals.SUCCESS("early", [1, 2])

    def fail() -> None:
        raise signals.FAIL("no")

    def hold() -> None:
        raise signals.SUCCESS("early", threading.Lock())

    one = pool(1)
    with pytest.raises(signals.SUCCESS) as caught:
        await outcome(one, succeed)
    assert isinstance(caught.value.state, Success)
    assert caught.value.state.result == [1, 2]
    with pytest.raises(signals.FAIL) as failed:
        await outcome(one, fail)
    assert failed.value.state.message == "no"
    assert failed.value.state.result is failed.value
    with pytest.raises(SerializationError, match="Task 'x': the signal SUCCESS it raised cannot be pickled: early"):
        await outcome(one, hold)


@pytest.mark.asyncio
async def test_a_stand_in_for_what_cannot_travel(pool: Pools) -> None:
    def hold() -> None:
        raise Holding("closed")

    def fuss() -> None:
        raise Fussy(3, "bears")

    def odd() -> None:
        class Odd(UnicodeDecodeError):
            def __str__(self) -> str:
                return "odd"

            def __reduce__(self) -> Any:
                raise TypeError("no")

        raise Odd("utf-8", b"", 0, 1, "x")

    one = pool(1)
    for function, name, text, base in (
        (hold, "Holding", "closed", ConnectionError),
        (fuss, "Fussy", "bears 3", Exception),
        (odd, "Odd", "odd", UnicodeDecodeError),
    ):
        with pytest.raises(base) as caught:
            await outcome(one, function)
        for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
            assert type(error).__name__ == name
            assert str(error) == text
            assert isinstance(error, base)
        assert f"in {function.__name__}" in str(caught.value.__cause__)


@pytest.mark.asyncio
async def test_what_cannot_be_sent_is_named(pool: Pools) -> None:
    one, lock = pool(1), threading.Lock()
    with pytest.raises(
        SerializationError, match="Task 'x': its argument 'b' of type lock cannot be sent to a worker process"
    ):
        await outcome(one, lambda a, b: None, a=1, b=lock)
    with pytest.raises(SerializationError, match="Task 'x': its code, or something that uses, cannot be sent"):
        await outcome(one, lambda: lock)
    with pytest.raises(SerializationError, match="Task 'x': its result of type lock cannot be pickled"):
        await outcome(one, threading.Lock)
    assert await outcome(one, lambda: 5) == 5


class Poison:
    """Cannot be read where it arrives."""

    def __init__(self, size: int = 0) -> None:
        self.ballast = "x" * size

    def __reduce__(self) -> Any:
        return int, ("no number", self.ballast)


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [0, 5_000_000])
async def test_what_cannot_be_read_is_named(pool: Pools, size: int) -> None:
    one = pool(1)
    with pytest.raises(
        SerializationError, match="Task 'x': its code or arguments cannot be read in the worker process: TypeE"
    ):
        await outcome(one, lambda a: None, a=[Poison(size), "y" * size])
    with pytest.raises(SerializationError, match="Task 'x': what came of it cannot be read back here: TypeError"):
        await outcome(one, lambda: [Poison(size), "y" * size])
    pid = await outcome(one, os.getpid)
    assert await outcome(one, os.getpid) == pid  # the line is still in order


def double_of(text: bytes) -> bytes:
    return 2 * text


@pytest.mark.asyncio
async def test_values_of_all_sizes(pool: Pools) -> None:
    one = pool(1)
    for size in (0, 1, 1_000, 100_000, 1_000_000, 10_000_000):
        for value in (b"x" * size, "ü" * size, bytearray(size), [str(n) for n in range(size // 100)]):
            assert await outcome(one, lambda value: value, value=value) == value


class Matrix:
    """Pickled as arrays are: their memory beside the rest."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Matrix, (pickle.PickleBuffer(self.memory),)


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [0, 1, 1_000, 1_000_000, 5_000_000])
async def test_arrays_travel_without_being_copied_into_the_pickle(pool: Pools, size: int) -> None:
    def changed(matrix: Matrix) -> tuple[bool, Matrix]:
        with memoryview(matrix.memory) as view:
            writable = not view.readonly
        if size and writable:
            matrix.memory[0] = 7
        return writable, matrix

    one = pool(1)
    writable, matrix = await outcome(one, changed, matrix=Matrix(bytearray(size)))
    assert writable
    assert bytes(matrix.memory) == b"\7"[:size] + bytes(max(size - 1, 0))
    writable, matrix = await outcome(one, changed, matrix=Matrix(bytes(size)))
    assert not writable
    assert bytes(matrix.memory) == bytes(size)


@pytest.mark.asyncio
async def test_huge_values_do_not_block_the_loop(pool: Pools) -> None:
    one, gaps = pool(1), list[float]()

    async def beat() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    await outcome(one, os.getpid)
    beating = asyncio.create_task(beat())
    result = await outcome(one, lambda: b"x" * 200_000_000)
    assert len(result) == 200_000_000
    assert await outcome(one, lambda value: len(value), value=result) == len(result)
    del result
    beating.cancel()
    # Reading it at a stroke takes some 0.2 s, twice; a machine that is busy otherwise is no reason to fail.
    assert sum(gap for gap in gaps if gap > 0.1) < 0.3


# -- around the call ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_context_goes_along(pool: Pools) -> None:
    values = {"task_name": "x", "map_index": 3, "logger": logging.getLogger("a"), "lock": threading.Lock(), "data": [1, "b"]}

    def look() -> tuple[Any, ...]:
        return context.to_dict(), prefectlite.context.map_index, context.logger.name, context.get("lock")

    one = pool(1)
    call = Call(look, {}, values=values)
    assert await one.submit(call).result == ({"task_name": "x", "map_index": 3, "data": [1, "b"]}, 3, "prefectlite.x", None)
    assert await outcome(one, lambda: context.to_dict()) == {}  # nothing of it stays


@pytest.mark.asyncio
async def test_lines_come_as_they_are_logged_and_printed(pool: Pools, capfd: pytest.CaptureFixture[str]) -> None:
    def talk() -> str:
        logging.getLogger("prefectlite.talk").info("hello %s", "you")
        logging.getLogger("prefectlite").debug("not wanted")
        logging.getLogger("other").info("wanted %d", "badly")
        print("one", "two")
        print("three\nfour\n\nfive", end="")
        try:
            raise ValueError("no")
        except ValueError:
            logging.getLogger("prefectlite.talk").exception("oh")
        return "done"

    heard: list[tuple[str, str, str]] = []
    runs: list[str] = []

    def on_line(level: str, name: str, message: str) -> None:
        heard.append((level, name, message))
        runs.append(context.flow_run_id)
        if message == "one two":
            raise RuntimeError("a log that does not work")

    one = pool(1)
    enter_values({"flow_run_id": "this one"})
    call = Call(talk, {}, loggers=("prefectlite", "other"), stdout=True)
    assert await one.submit(call, on_line=on_line).result == "done"
    printed = [("INFO", "prefectlite.stdout", line) for line in ("one two", "three", "four", "five")]
    assert [line for line in heard if line[1] == "prefectlite.stdout"] == printed
    assert heard[0] == ("INFO", "prefectlite.talk", "hello you")
    assert heard[1] == ("INFO", "other", "«unformattable» 'wanted %d' tuple")
    assert heard[-2][:2] == ("ERROR", "prefectlite.talk")
    assert heard[-2][2].endswith("ValueError: no")
    assert set(runs) == {"this one"}
    assert len(heard) == 7
    enter_values({})
    assert await one.submit(Call(talk, {}, level=logging.ERROR)).result == "done"  # nobody listens
    assert capfd.readouterr().out == "one two\nthree\nfour\n\nfive" * 2


@pytest.mark.asyncio
async def test_what_is_made_of_the_outcome_is_made_in_a_thread(pool: Pools) -> None:
    one, here = pool(1), threading.get_ident()

    def finish(value: Any, error: BaseException | None) -> Any:
        assert threading.get_ident() != here
        return value, error

    assert await one.submit(Call(lambda: 5, {}), finish=finish).result == (5, None)
    value, error = await one.submit(Call(raises, {"error": StopIteration(7)}), finish=finish).result
    assert value is None
    assert isinstance(error, StopIteration)
    value, error = await one.submit(Call(os._exit, {"status": 3}), finish=finish).result
    assert isinstance(error, WorkerDied)


@pytest.mark.asyncio
async def test_modules_are_found_where_this_process_finds_them(
    pool: Pools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = pool(1)
    await outcome(one, os.getpid)
    (tmp_path / "found_later.py").write_text("def answer(): return 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    from found_later import answer  # type: ignore[import-not-found]

    assert await outcome(one, answer) == 42


SCRIPT = """
import asyncio
from prefectlite import context, task
from prefectlite.executors.processes import Call, ProcessPool

class Point:
    def __init__(self, x): self.x = x

def moved(point): return Point(point.x + context.step)

@task
def move(point): return moved(point)

async def main():
    pool = ProcessPool(1)
    point = await pool.submit(Call(move.run, {"point": Point(1)}, values={"step": 2})).result
    print(type(point) is Point, point.x)
    await pool.aclose()

asyncio.run(main())
"""


def test_code_of_a_script_travels_by_value(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / "socket.py").write_text("raise ImportError('of the working directory')\n")
    other = tmp_path / "elsewhere.py"
    other.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-P", str(script)], capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True 3\n", "")


@pytest.mark.asyncio
async def test_code_of_a_flow_that_was_loaded_from_a_file(pool: Pools, tmp_path: Path) -> None:
    from prefectlite.storage.source import FileSource

    (tmp_path / "flow.py").write_text(
        "from prefectlite import Flow, task\nclass Result:\n    pass\ndef make(): return Result()\n"
        "@task\ndef work(): return make()\nwith Flow('f') as flow: work()\n"
    )
    (graph,) = FileSource(None, str(tmp_path / "flow.py")).load()
    (task,) = graph.tasks
    result = await outcome(pool(1), task.run)
    assert type(result).__module__.startswith("prefectlite_flow_flow_")
    assert type(result) is task.run.__globals__["Result"]  # and not a second class of that name


# -- endings --------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_worker_that_dies_fails_its_job_and_is_replaced(pool: Pools) -> None:
    one = pool(1)
    for function, arguments, how in (
        (os._exit, {"status": 3}, "ended with exit code 3"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), {}, r"killed by signal 9 \(SIGKILL, as .* when memory runs out\)"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), {}, r"was killed by signal 11 \(SIGSEGV\)"),
        (lambda: (os.closerange(3, 100), time.sleep(1000)), {}, "closed its connection"),
    ):
        with pytest.raises(WorkerDied, match=f"^Task 'x': its worker process (was )?{how}"):
            await outcome(one, function, **arguments)
        assert await outcome(one, lambda: 5) == 5


@pytest.mark.asyncio
async def test_an_idle_worker_that_dies_is_nobodys_loss(pool: Pools) -> None:
    one = pool(1)
    pid = await outcome(one, os.getpid)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not is_there(pid))
    assert await outcome(one, os.getpid) != pid


@pytest.mark.asyncio
async def test_an_interpreter_that_does_not_start(pool: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    one = pool(1)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(WorkerDied, match=r"a worker process cannot be started: .*No such file"):
        await outcome(one, os.getpid)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerDied, match="Task 'x': its worker process ended with exit code 1"):
        await outcome(one, os.getpid)
    monkeypatch.undo()
    assert await outcome(one, os.getpid)


def stubborn(path: Path) -> None:
    """Starts a process, ignores what can be ignored, and says who they are."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    path.with_suffix(".tmp").write_text(f"{os.getpid()} {child.pid}")
    path.with_suffix(".tmp").rename(path)
    while True:
        with suppress(BaseException):
            time.sleep(1000)


@pytest.mark.asyncio
async def test_abandoning_kills_the_process_and_its_children(pool: Pools, tmp_path: Path) -> None:
    one, path = pool(1), tmp_path / "pids"
    job = one.submit(Call(stubborn, {"path": path}), tell_begin=True)
    assert job.begun is not None
    await job.begun
    await until(lambda: written(path))
    pids = [int(pid) for pid in path.read_text().split()]
    assert all(is_there(pid) for pid in pids)
    began = time.perf_counter()
    one.abandon(job)
    one.abandon(job)
    assert time.perf_counter() - began < 0.05
    assert job.result.cancelled()
    await until(lambda: not any(is_there(pid) for pid in pids))
    assert await outcome(one, lambda: "next") == "next"


@pytest.mark.asyncio
async def test_a_job_that_waits_is_dropped(pool: Pools, tmp_path: Path) -> None:
    one, path = pool(1), tmp_path / "pids"
    first = one.submit(Call(stubborn, {"path": path}))
    finished: list[Any] = []
    second = one.submit(Call(os.getpid, {}), tell_begin=True, finish=lambda *ending: finished.append(ending))
    await until(lambda: written(path))
    one.abandon(second)
    assert second.begun is not None
    one.abandon(first)
    assert await outcome(one, lambda: 5) == 5
    assert second.begun.cancelled()
    assert finished == []


@pytest.mark.asyncio
async def test_nobody_waits_for_a_begin_that_does_not_come(pool: Pools) -> None:
    job = pool(1).submit(Call(lambda a: None, {"a": threading.Lock()}), tell_begin=True)
    assert job.begun is not None
    await asyncio.wait_for(job.begun, PATIENCE)
    with pytest.raises(SerializationError):
        await job.result


@pytest.mark.asyncio
async def test_jobs_may_be_abandoned_at_any_moment(pool: Pools) -> None:
    two = pool(2)
    for round in range(40):
        job = two.submit(Call(wait, {"n": round % 2}))
        for _ in range(round % 8):
            await asyncio.sleep(0.004 * (round % 5))
        two.abandon(job)
    assert await asyncio.gather(*(outcome(two, lambda n=n: n) for n in range(6))) == list(range(6))
    assert two._there <= 2


@pytest.mark.asyncio
async def test_cancelling_the_result_abandons_the_job(pool: Pools, tmp_path: Path) -> None:
    one, path = pool(1), tmp_path / "pids"
    job = one.submit(Call(stubborn, {"path": path}))
    await until(lambda: written(path))
    job.result.cancel()
    await until(lambda: not any(is_there(int(pid)) for pid in path.read_text().split()))
    assert await outcome(one, lambda: "next") == "next"


def wait(n: int) -> None:
    time.sleep(1000 * n)


@pytest.mark.asyncio
async def test_many_jobs_on_few_workers(pool: Pools) -> None:
    two = pool(2)
    jobs = [two.submit(Call(lambda n: (n, os.getpid()), {"n": n})) for n in range(200)]
    outcomes = await asyncio.wait_for(asyncio.gather(*(job.result for job in jobs)), 60)
    assert [n for n, _ in outcomes] == list(range(200))
    assert len({pid for _, pid in outcomes}) == 2


@pytest.mark.asyncio
async def test_closing_in_the_midst_of_everything(tmp_path: Path) -> None:
    two, path = ProcessPool(2), tmp_path / "pids"
    idle = await outcome(two, os.getpid)
    jobs = [two.submit(Call(stubborn, {"path": path})), *(two.submit(Call(wait, {"n": 1})) for _ in range(5))]
    await until(lambda: written(path))
    pids = [idle, *(int(pid) for pid in path.read_text().split())]
    await asyncio.wait_for(two.aclose(), PATIENCE)
    assert not any(is_there(pid) for pid in pids)
    assert all(job.result.cancelled() for job in jobs)
    with pytest.raises(RuntimeError, match="closed"):
        two.submit(Call(os.getpid, {}))
    await two.aclose()


@pytest.mark.asyncio
async def test_what_a_task_leaves_behind_does_not_keep_a_worker(pool: Pools) -> None:
    def leave() -> int:
        threading.Thread(target=time.sleep, args=(1000,)).start()
        return os.getpid()

    one = ProcessPool(1)
    pid = await outcome(one, leave)
    await asyncio.wait_for(one.aclose(), PATIENCE)
    assert not is_there(pid)


@pytest.mark.asyncio
async def test_signals_for_everybody_are_left_to_the_parent(pool: Pools, tmp_path: Path) -> None:
    def work(path: Path) -> tuple[str, int]:
        path.write_text(str(os.getpid()))
        while not path.with_suffix(".go").exists():
            time.sleep(0.005)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        child.terminate()  # which is not ignored there
        reader, writer = os.pipe()
        forked = os.fork()
        if not forked:
            os.write(writer, b"here")
            time.sleep(1000)
        os.read(reader, 4)
        os.kill(forked, signal.SIGTERM)
        return "done", os.waitpid(forked, 0)[1] + child.wait()

    one, path = pool(1), tmp_path / "pid"
    job = one.submit(Call(work, {"path": path}))
    await until(lambda: written(path))
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(int(path.read_text()), number)
    path.with_suffix(".go").touch()
    assert await asyncio.wait_for(job.result, PATIENCE) == ("done", 0)


@pytest.mark.asyncio
async def test_a_worker_is_in_a_session_of_its_own(pool: Pools) -> None:
    pid, group, session = await outcome(pool(1), lambda: (os.getpid(), os.getpgrp(), os.getsid(0)))
    assert pid == group == session


@pytest.mark.asyncio
async def test_a_forked_child_that_lives_on_does_not_hide_a_death(pool: Pools) -> None:
    def fork_and_die() -> None:
        if not os.fork():
            time.sleep(1000)
        os._exit(4)

    one = pool(1)
    with pytest.raises(WorkerDied, match="exit code 4"):
        await outcome(one, fork_and_die)


PARENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from prefectlite.executors.processes import Call, ProcessPool
from tests.executors.test_processes import stubborn
import os

async def main():
    pool = ProcessPool(2)
    busy = pool.submit(Call(stubborn, {{"path": Path({path!r})}}))
    idle = await pool.submit(Call(os.getpid, {{}})).result
    while not Path({path!r}).exists():
        await asyncio.sleep(0.01)
    print(idle, flush=True)
    {then}

asyncio.run(main())
"""


@pytest.mark.asyncio
@pytest.mark.parametrize("then", ["await asyncio.sleep(1000)", "os._exit(0)", "pass"])
async def test_workers_go_with_their_parent(tmp_path: Path, then: str) -> None:
    path, root = tmp_path / "pids", str(Path(__file__).parents[2])
    code = PARENT.format(root=root, path=str(path), then=then)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    assert parent.stdout is not None
    pids = [int(await asyncio.to_thread(parent.stdout.readline)), *(int(pid) for pid in path.read_text().split())]
    assert len(pids) == 3
    if then.startswith("await"):
        parent.kill()
    await asyncio.to_thread(parent.wait, PATIENCE)
    parent.stdout.close()
    await until(lambda: not any(is_there(pid) for pid in pids))


def test_a_process_that_is_killed_while_it_ends() -> None:
    process = WorkerProcess()
    process.kill()
    assert process.end().startswith("was killed by signal 9")
    process.kill()  # its number may be another's now
