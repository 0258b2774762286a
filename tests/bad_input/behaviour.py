"""Tasks that do to their process, and to the event loop, what tasks should not."""

from __future__ import annotations

from tests.bad_input.cases import Case, made, one

_BROKEN = "TriggerFailed: "
_OWN = "class Own(BaseException):\n    pass\n"
_ENDS = {
    "SystemExit(3)": r"SystemExit\(3\)",
    "KeyboardInterrupt()": r"KeyboardInterrupt\(\)",
    "GeneratorExit()": r"GeneratorExit\(\)",
    "StopAsyncIteration()": r"StopAsyncIteration\(\)",
    "asyncio.CancelledError()": r"CancelledError\(\)",
    "BaseExceptionGroup('g', [SystemExit(1)])": "BaseExceptionGroup",
    "Own('x')": r"Own\('x'\)",
}
_PROCESS = "@task(executor=ProcessExecutor(workers=1))"


def _failed(name: str, body: str, says: str, *, is_async: bool = False, decorator: str = "@task", log: str = "") -> Case:
    return Case(
        name,
        one(body, is_async=is_async, decorator=decorator),
        states={"bad": f"Failed: Error during execution of task: {says}", "kind": _BROKEN},
        log=log,
    )


def _mapped(name: str, expression: str, says: str, log: str = "") -> Case:
    code = made(f"bad = task(lambda: {expression}, name='bad')", "mapped = take.map(bad())", "kind(mapped)")
    return Case(f"37 mapping over {name}", code, states={"take": f"Failed: .*{says}", "kind": _BROKEN}, log=log)


BEHAVIOUR = [
    *(
        _failed(f"28 {error}, {'async' if is_async else 'plain'}", f"{_OWN}raise {error}", says, is_async=is_async)
        for error, says in _ENDS.items()
        for is_async in (False, True)
    ),
    Case(
        "29 swallowing the cancellation",
        one(
            "while True:\n    try:\n        await asyncio.sleep(60)\n    except asyncio.CancelledError:\n        pass",
            is_async=True,
            decorator="@task(timeout=0.1)",
        ),
        states={"bad": "TimedOut: Task timed out during execution", "kind": _BROKEN},
        environ={"PREFECTLITE_CANCEL_PATIENCE": "0.1"},
        log="Task 'bad' goes on although it was cancelled",
        exit=1,
    ),
    Case(
        "30 blocking the loop",
        one("time.sleep(0.6)", is_async=True),
        states={"bad": "Success: ", "kind": "Success: "},
        environ={"PREFECTLITE_BLOCKED_LOOP_SECONDS": "0.1"},
        log="(?s)Task 'bad' .*blocks the event loop.*time.sleep",
    ),
    _failed("31 leaving a worker process", "os._exit(3)", "WorkerDied.*'bad'.*exit code 3", decorator=_PROCESS),
    _failed("31 killed", "os.kill(os.getpid(), signal.SIGKILL)", "WorkerDied.*'bad'.*signal 9", decorator=_PROCESS),
    _failed("31 a crash in C", "import faulthandler\nfaulthandler._sigsegv()", "WorkerDied.*SIGSEGV", decorator=_PROCESS),
    _failed("32 recursion", "def again():\n    return again()\nagain()", "RecursionError"),
    _failed(
        "32 recursion, async", "async def again():\n    return await again()\nawait again()", "Recursion", is_async=True
    ),
    *(
        Case(
            f"33 a forked child that {does}",
            one(f"child = os.fork()\nif not child:\n    {how}\nreturn os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])"),
            states={"bad": "Success: ", "kind": "Success: "},
            kept={"bad": code},
            child=does == "raises",
        )
        for does, how, code in (
            ("leaves at once", "os._exit(4)", 4),
            ("leaves in good order", "sys.exit(5)", 5),
            ("returns", "return None", 0),
            ("raises", "raise ValueError(1)", 1),
        )
    ),
    Case(
        "34 another working directory",
        one("os.chdir('/')"),
        states={"bad": "Success: "},
        log="Task 'bad' found the working directory .*, and leaves the process in /: .*contextlib.chdir",
    ),
    Case(
        "34 another standard output",
        one("sys.stdout = io.StringIO()"),
        states={"bad": "Success: "},
        log="Task 'bad' leaves another sys.stdout behind",
    ),
    _failed("34 a signal handler", "signal.signal(signal.SIGINT, signal.SIG_IGN)", "ValueError.*main thread"),
    Case(
        "34 all of it, in a process of its own",
        one("os.chdir('/')\nos.environ['PREFECTLITE_PORT'] = 'x'\nos.umask(0o777)\nsys.stdout = None", decorator=_PROCESS),
        states={"bad": "Success: "},
    ),
    Case(
        "35 a child that stays, of a worker process",
        one("return subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid", decorator=_PROCESS),
        states={"bad": "Success: "},
    ),
    _failed(
        "36 asyncio.run", "asyncio.run(None)", r".*RuntimeError.*`await` the coroutine, or write the task", is_async=True
    ),
    _failed(
        "36 running the loop again",
        "asyncio.get_running_loop().run_forever()",
        r".*RuntimeError.*`await` the coroutine, or write the task",
        is_async=True,
    ),
    _failed("36 closing the loop", "asyncio.get_running_loop().close()", ".*RuntimeError.*leave it open", is_async=True),
    Case(
        "37 mapping over nothing",
        made("bad = task(lambda: [], name='bad')", "kind(take.map(bad()))"),
        states={"take": "Mapped: ", "kind": "Success: "},
        kept={"kind": "list"},
    ),
    _mapped("a number", "5", "unmappable result", "cannot be mapped over: int"),
    _mapped("None", "None", "unmappable result", "cannot be mapped over: NoneType"),
    _mapped("a dict", "{'a': 1}", "unmappable result", "cannot be mapped over: dict"),
    _mapped("a set", "{1}", "unmappable result", "cannot be mapped over: set"),
    _mapped("a generator", "(x for x in [1])", "unmappable result", "cannot be mapped over: generator"),
    _mapped(
        "more than the limit", "range(1_000_001)", r"1,000,001 elements exceeds the limit of 1,000,000 \(max_map_children\)"
    ),
    _mapped("a length that raises", "type('Bad', (list,), {'__len__': lambda self: sys.exit(1)})()", "SystemExit"),
    Case(
        "37 mapping over a number that is written down",
        made("", "take.map(5)"),
        raises=TypeError,
        says="Cannot map over unsubscriptable object of type <class 'int'>: 5",
    ),
]
