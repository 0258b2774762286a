"""Results that cannot be kept, or could not be kept so simply."""

from __future__ import annotations

from prefectlite.errors import FlowError
from tests.bad_input.cases import Case, one

_MEMORY = (
    "Task 'bad': its result stays in memory and is computed again on resume: a value of type {} cannot be written down: "
)
_DOWNSTREAM = "TriggerFailed: .*some of the upstream tasks failed"


def _passed_on(name: str, body: str, kind: str, log: str, *, is_async: bool = False) -> Case:
    """The next task gets it, and the log says what was probably meant."""
    return Case(
        name,
        one(body, is_async=is_async),
        states={"bad": "Success: ", "kind": "Success: "},
        kept={"kind": kind},
        log=_MEMORY.format(kind) + log,
    )


def _kept(name: str, expression: str, value: object) -> Case:
    kept = {"bad": value, "kind": type(value).__name__}
    return Case(f"{name} {expression}", one(f"return {expression}"), states={"bad": "Success: "}, kept=kept)


RESULTS = [
    *(
        Case(
            f"15 a place that cannot be written to, {whose}",
            code,
            states={"bad": "Failed: Unexpected error: NotADirectoryError", "kind": _DOWNSTREAM},
            log="Task 'bad': its result could not be written: see to its `result`",
        )
        for whose, code in (
            ("the task's", one("return 5", decorator="@task(result=LocalResult(dir=__file__ + '/below'))")),
            ("the flow's", one("return 5") + "flow.result = LocalResult(dir=__file__ + '/below')\n"),
        )
    ),
    _passed_on("16 a lock", "return threading.Lock()", "lock", "cannot pickle '_thread.lock' object"),
    Case(
        "16 a lock, which is not to be kept",
        one("return threading.Lock()", decorator="@task(checkpoint=False)"),
        states={"bad": "Success: ", "kind": "Success: "},
        kept={"kind": "lock"},
    ),
    Case(
        "16 a lock, which is to be written",
        one("return threading.Lock()", decorator="@task(result=LocalResult())"),
        states={"bad": "Failed: Unexpected error: TypeError.*cannot pickle '_thread.lock' object", "kind": _DOWNSTREAM},
    ),
    Case(
        "16 a value that ends the process when it is pickled",
        one("class Bad:\n    def __reduce__(self):\n        sys.exit(3)\nreturn Bad()"),
        states={"bad": "Success: ", "kind": "Success: "},
        log="Task 'bad': its result stays in memory",
    ),
    _passed_on("17 a generator", "return (x for x in [1])", "generator", r".*did you forget list\(…\)\?"),
    _passed_on(
        "17 an async generator",
        "async def numbers():\n    yield 1\nreturn numbers()",
        "async_generator",
        r".*did you forget \[item async for item in …\]\?",
    ),
    _passed_on(
        "17 a task of the loop",
        "return asyncio.ensure_future(asyncio.sleep(0))",
        "Task",
        ".*did you forget `await`",
        is_async=True,
    ),
    _passed_on("17 an open file", "return open(os.devnull)", "TextIOWrapper", ".*did you mean to return its path"),
    Case(
        "17 a coroutine",
        one("return asyncio.sleep(0)", is_async=True),
        states={"bad": "Failed: .*TypeError.*task 'bad' returned a coroutine: did you forget `await`", "kind": _DOWNSTREAM},
    ),
    Case("17 a coroutine of a plain function is awaited", one("return asyncio.sleep(0, 'slept')"), kept={"kind": "str"}),
    Case(
        "17 an async generator as the task",
        "@task\nasync def bad():\n    yield 1\n",
        raises=FlowError,
        says="Task 'bad' is an async generator, which has no result",
    ),
    Case(
        "18 more than the limit",
        one("return b'x' * 5_000"),
        environ={"PREFECTLITE_MAX_RESULT_BYTES": "1000"},
        states={"bad": "Success: ", "kind": "Success: "},
        kept={"kind": "bytes"},
        log="Task 'bad': its result stays in memory.*takes 5,003 bytes and the limit is 1,000",
    ),
    *(_kept("19", f"float('{text}')", float(text)) for text in ("nan", "inf", "-inf")),
    *(_kept("20", expression, eval(expression)) for expression in ("2**63", "-2**64", "2**53 + 1", "10**5000")),
    Case(
        "20 an argument of 5,001 digits",
        "with Flow('one') as flow:\n    kind(10**5000)\n    take(Parameter('big', default=10**5000))\n",
        states={"kind": "Success: ", "take": "Success: "},
        kept={"kind": "int", "take": 10**5000},
    ),
    *(_kept("21", ascii(text), text) for text in ("\udc80", "a\x00b", "\ufeffa", "\u202eabc")),
]
