"""Flows that are wrong as they are written, and parameters that do not fit."""

from __future__ import annotations

from prefectlite.errors import (
    DuplicateSlugError,
    FlowCycleError,
    FlowError,
    FlowSerializationError,
    FlowValidationError,
    ParameterError,
)
from tests.bad_input.cases import Case, made

_GREETING = """
@task
def greet(name: str, day):
    return name

with Flow("greeting") as flow:
    greet(Parameter("name"), Parameter("day"))
    take(Parameter("count", default=3))
"""
_DATED = "with Flow('dated') as flow:\n    kind(DateTimeParameter('day'))\n"
_TAKES = r"Flow 'greeting' takes: count=3, day, name: str"
_DEEP = "deep = []\nfor _ in range(200_000):\n    deep = [deep]"


def _option(arguments: str, says: str, raises: type[Exception] = FlowError) -> Case:
    return Case(f"14 {arguments}", f"task(name='bad', {arguments})(print)\n", raises=raises, says=says)


DEFINITIONS = [
    Case(
        "1 a cycle",
        "with Flow('round') as flow:\n    a = take()\n    b = kind(a)\n    a.set_upstream(b)\n",
        raises=FlowCycleError,
        says="take → kind → take",
    ),
    Case(
        "1 a task that waits for itself",
        "with Flow('round') as flow:\n    a = take()\n    a.set_upstream(a)\n",
        raises=FlowError,
        says="Edges can not connect a task to itself. <Task: take>",
    ),
    Case(
        "2 parameters missing",
        _GREETING,
        raises=ParameterError,
        says=rf"required parameters: day, name\. {_TAKES}",
        api="BAD_USER_INPUT",
    ),
    Case(
        "3 an unknown parameter",
        _GREETING,
        parameters={"name": "a", "day": 1, "cuont": 2},
        raises=ParameterError,
        says=rf"unexpected parameters: cuont\. Did you mean 'count'\? {_TAKES}",
        api="BAD_USER_INPUT",
    ),
    Case(
        "3 a parameter of the wrong type",
        _DATED,
        parameters={"day": "tomorrow"},
        states={"day": "Failed: .*Parameter 'day' takes a datetime in ISO 8601, not 'tomorrow'", "kind": "TriggerFailed: "},
    ),
    Case(
        "3 parameters that are no dict",
        _GREETING + "flow.run(parameters=[1])\n",
        raises=TypeError,
        says=r"The parameters of flow 'greeting' must be a dict of values by name, not \[1\]",
        cli=False,
    ),
    Case(
        "3 parameters without names",
        _GREETING + "flow.run(parameters={1: 2})\n",
        raises=TypeError,
        says=r"The parameters of flow 'greeting' must be a dict of values by name, not \{1: 2\}",
        cli=False,
    ),
    Case(
        "4 one slug for two tasks",
        made("slug = dict(slug='same')", "take(1, task_args=slug)", "kind(2, task_args=slug)"),
        raises=DuplicateSlugError,
        says=r'slug "same" already exists.*\'made\'.*<Task: take> \(.*flow.py:7\) and <Task: kind> \(.*flow.py:11\)',
    ),
    Case(
        "4 one name for two parameters",
        made("", "take(Parameter('same'))", "kind(Parameter('same'))"),
        raises=DuplicateSlugError,
        says='slug "same" already exists.*<Parameter: same> and <Parameter: same>',
    ),
    Case(
        "5 a reference task of no flow",
        made("", "take()") + "flow.set_reference_tasks([kind])\n",
        raises=FlowValidationError,
        says="reference tasks must be part of the flow.*<Task: kind>.*made",
    ),
    Case(
        "5 asking for a task of no flow",
        made("", "take()") + "flow.replace(kind, take)\n",
        raises=FlowValidationError,
        says="Task <Task: kind> was not found in Flow.*made",
    ),
    Case("6 an empty flow", made(""), log="Flow 'made' has no tasks: there is nothing to do"),
    Case("6 a task that is never called", made("", "take()", "kind.copy()"), warns="not added to the flow: {<Task: kind>}"),
    Case(
        "7 a lock",
        made("", "bad = take()") + "bad.conn = threading.Lock()\nflow.save('saved.flow')\n",
        raises=FlowSerializationError,
        says=r"'made' .*task 'take'\.conn → _thread\.lock.* or register the flow by import path instead",
    ),
    Case(
        "7 a file that is being written",
        "file = open(os.devnull, 'w')\n"
        + made("bad = task(lambda: file, name='bad')", "bad()")
        + "with file:\n    flow.save('saved.flow')\n",
        raises=FlowSerializationError,
        says=r"task 'bad'\..*file → _io\.TextIOWrapper",
    ),
    Case(
        "8 lists in lists, saved",
        made(_DEEP, "bad = take()") + "bad.conn = deep\nflow.save('saved.flow')\n",
        raises=FlowSerializationError,
        says=r"'made' cannot be written down because of task 'take'\.conn\[0\]",
    ),
    Case("8 lists in lists, as an argument", made(_DEEP, "kind(deep)"), states={"kind": "Success: "}, kept={"kind": "list"}),
    Case(
        "8 a list in itself, as a default",
        made("loop = []\nloop.append(loop)", "kind(loop)", "take(Parameter('loop', default=loop))"),
        states={"kind": "Success: ", "take": "Success: "},
    ),
    Case("8 lists in lists, as a value", made(_DEEP, "kind(Parameter('x'))") + "flow.run(x=deep)\n", cli=False, raises=None),
    _option("max_retries=2", "`retry_delay` must be provided.*task 'bad'"),
    _option("max_retries=-1, retry_delay=1", "Task 'bad': `max_retries` must be from 0 to 2,147,483,647, not -1"),
    _option("max_retries=10**12, retry_delay=1", "'bad'.*not 1,000,000,000,000"),
    _option("max_retries=1.5, retry_delay=1", "Task 'bad': `max_retries` must be a whole number, not 1.5", TypeError),
    _option("max_retries=1, retry_delay=-1", "`retry_delay` of task 'bad' cannot be negative: -1"),
    _option("max_retries=1, retry_delay=1e300", "`retry_delay` of task 'bad' cannot be 1e\\+300 seconds"),
    _option("max_retries=1, retry_delay=float('nan')", "`retry_delay` of task 'bad' cannot be nan seconds"),
    _option("timeout=0", "`timeout` of task 'bad' must be longer than nothing, not 0"),
    _option("timeout=-1", "`timeout` of task 'bad' must be longer than nothing, not -1"),
    _option("timeout=float('inf')", "`timeout` of task 'bad' cannot be inf seconds"),
    _option("timeout='soon'", "`timeout` of task 'bad' must be a number of seconds or a timedelta, not 'soon'", TypeError),
]
