"""Names, log lines and errors that are hard to write down."""

from __future__ import annotations

from prefectlite.errors import FlowError
from tests.bad_input.cases import Case, made, one

_ODD = {"NUL": "a\x00b", "half a character": "\udc80"}
_UNTOLD = """
class Untold(Exception):
    def __str__(self):
        raise ValueError("no words")
    __repr__ = __str__
"""
_UNPICKLED = """
class Unpickled(Exception):
    def __reduce__(self):
        raise ValueError("no pickle")
"""
_PARTICULAR = """
class Particular(Exception):
    def __init__(self, first, second):
        super().__init__(first)
"""


def _refused(row: str, code: str, says: str) -> list[Case]:
    return [
        Case(f"21 {row} with {kind}", code.format(repr(text)), raises=FlowError, says=says) for kind, text in _ODD.items()
    ]


def _error(name: str, body: str, says: str) -> Case:
    states = {"bad": f"Failed: Error during execution of task: {says}", "kind": "TriggerFailed: "}
    return Case(name, one(body), states=states, log="Task 'bad': Exception encountered during task execution!")


def _logged(name: str, body: str, log: str, decorator: str = "@task") -> Case:
    return Case(name, one(body, decorator=decorator), states={"bad": "Success: "}, log=log)


TEXTS = [
    Case(
        "21 a name that moves the cursor",
        made("bad = take.copy(name='a\\nb\\x1b[2J\\u202ec')", "bad()"),
        states={"a\nb\x1b[2J\u202ec": "Success: "},
    ),
    *_refused("a flow's name", "Flow({})\n", "The name of a flow"),
    *_refused("a task's name", "take.copy(name={})\n", "The name of a task"),
    *_refused("a task's slug", "task(slug={})(print)\n", "The slug of task"),
    *_refused("a parameter's name", "Parameter({})\n", "The name of a task"),
    *_refused("a tag", "task(tags=[{}])(print)\n", "A tag"),
    *_refused("a cache key", "task(cache_key={})(print)\n", "cache_key"),
    Case("21 a name without end", made("", "take(1, task_args=dict(name='x' * 5_000))"), states={"x" * 5_000: "Success: "}),
    Case(
        "21 a task run's name with half a character",
        one("return 1", decorator="@task(task_run_name='a\\udc80')"),
        states={"bad": "Success: "},
        kept={"bad": 1},
    ),
    Case(
        "21 a task run's name that raises",
        one("return 1", decorator="@task(task_run_name='{nothing}')"),
        states={"bad": "Failed: Task 'bad': Unexpected error.*KeyError\\('nothing'\\)", "kind": "TriggerFailed: "},
    ),
    Case("21 a constant without a repr", made(_UNTOLD, "kind(Untold())"), states={"kind": "Success: "}),
    Case("21 a value without a repr", made(_UNTOLD, "kind(Parameter('x', default=Untold()))"), states={"kind": "Success: "}),
    Case(
        "21 a message that cannot be told",
        one(f"{_UNTOLD}\nraise signals.FAIL(Untold())"),
        states={"bad": r"Failed: Untold \(its str raises\)", "kind": "TriggerFailed: "},
    ),
    Case(
        "21 a state's context that JSON has no words for",
        one("raise signals.ENDRUN(Failed('so it is', context={'a': '\\udc80', 'b': 10**5000, (1, 2): [set()]}))").replace(
            "@task", "from prefectlite.states import Failed\n@task", 1
        ),
        states={"bad": "Failed: so it is", "kind": "TriggerFailed: "},
    ),
    _logged(
        "22 bytes that are no text",
        "sys.stdout.buffer.write(b'caf\\xe9 \\xff\\x00\\n')\nsys.stdout.flush()",
        r"^caf\\xe9 \\xff␀$",
        "@task(log_stdout=True)",
    ),
    _logged("22 text that is no text", "context.logger.info('a\\x00b\\udc80')", r"^a␀b\\udc80$"),
    _logged(
        "23 a line without end",
        "context.logger.info('x' * 17_000_000)",
        "«222,784 bytes more of this message are not in the log»",
    ),
    _logged(
        "23 printing without end",
        "for _ in range(170):\n    sys.stdout.write('x' * 100_000)",
        "«222,784 bytes more were printed and are not in the log»",
        "@task(log_stdout=True)",
    ),
    _logged("25 arguments that do not fit", "context.logger.info('%d is', 'x')", "«unformattable» '%d is' with str"),
    _logged(
        "25 an argument without words", f"{_UNTOLD}\ncontext.logger.info('%s', Untold())", "«unformattable» '%s' with Unt"
    ),
    _logged(
        "25 a message without words", f"{_UNTOLD}\ncontext.logger.info(Untold())", "«unformattable» Untold with nothing"
    ),
    _error("26 an error without words", f"{_UNTOLD}\nraise Untold()", r"Untold \(its repr raises\)"),
    _error("26 an error that cannot be pickled", f"{_UNPICKLED}\nraise Unpickled('x')", r"Unpickled\('x'\)"),
    _error("26 an error that cannot be unpickled", f"{_PARTICULAR}\nraise Particular(1, 2)", r"Particular\(1\)"),
    _error("26 an error with a lock", "raise ValueError(threading.Lock())", "ValueError\\(<unlocked _thread.lock"),
    _error(
        "26 an error of 10 MB",
        "raise ValueError('x' * 10_000_000)",
        r"ValueError\('x+«9,\d\d\d,\d\d\d characters left out»x+'",
    ),
    _error("27 a group", "raise ExceptionGroup('g', [ValueError(1), ExceptionGroup('h', [KeyError(2)])])", "ExceptionGroup"),
    Case(
        "27 a chain of 1,000",
        one(
            "error = None\nfor number in range(1_000):\n    try:\n        raise ValueError(number) from error\n"
            "    except ValueError as raised:\n        error = raised\nraise error"
        ),
        states={"bad": r"Failed: .*ValueError\(999\)", "kind": "TriggerFailed: "},
        log=r"(?s)^Task 'bad': Exception encountered.*characters left out».*ValueError: 999",
    ),
]
