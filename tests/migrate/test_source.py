"""What is found in a file, and what it becomes."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefectlite.migrate.source import SourceFile

REWRITTEN = [
    ("import prefect\n@prefect.task\ndef f(): pass\n", "import prefectlite\n@prefectlite.task\ndef f(): pass\n"),
    ("import prefect as p\np.Flow('x')\n", "import prefectlite as p\np.Flow('x')\n"),
    ("import prefect as p\nraise p.engine.signals.SKIP()\n", "import prefectlite as p\nraise p.signals.SKIP()\n"),
    ("import prefect, os\n", "import prefectlite, os\n"),
    ("import os; import prefect; x = prefect\n", "import os; import prefectlite; x = prefectlite\n"),
    ("from prefect import task  # why\n", "from prefectlite import task  # why\n"),
    (
        "from prefect import (\n    task,  # one\n    Flow,\n)\n",
        "from prefectlite import (\n    task,  # one\n    Flow,\n)\n",
    ),
    ("from  prefect  import  task,Flow\n", "from  prefectlite  import  task,Flow\n"),
    ("from prefect import \\\n    task\n", "from prefectlite import \\\n    task\n"),
    ("from prefect.engine import signals\n", "from prefectlite import signals\n"),
    ("from prefect.engine import state, signals\n", "from prefectlite import states as state, signals\n"),
    ("from prefect.engine.state import Success as Ok\n", "from prefectlite.states import Success as Ok\n"),
    ("from prefect.utilities import tasks\ntasks.task\n", "import prefectlite as tasks\ntasks.task\n"),
    ("import prefect.engine.signals as s\ns.FAIL\n", "import prefectlite.signals as s\ns.FAIL\n"),
    (
        "import prefect.engine.signals\nprefect.engine.signals.FAIL\n",
        "import prefectlite.signals\nprefectlite.signals.FAIL\n",
    ),
    ("import prefect.engine\nprefect.engine.signals.FAIL\n", "import prefectlite\nprefectlite.signals.FAIL\n"),
    (
        "import prefect\nprefect.tasks.secrets.PrefectSecret('x')\n",
        "import prefectlite, prefectlite.tasks.secrets\nprefectlite.tasks.secrets.PrefectSecret('x')\n",
    ),
    ("import prefect\nprefect.config.logging.level\n", "import prefectlite\nprefectlite.config.log_level\n"),
    ("from prefect import config\nconfig.flows.checkpointing\n", "from prefectlite import config\nconfig.checkpointing\n"),
    (
        "from prefect.exceptions import PrefectException\n",
        "from prefectlite import PrefectliteError as PrefectException\n",
    ),
    ("if x:\n    from prefect import task\n", "if x:\n    from prefectlite import task\n"),
    (
        "try:\n\tfrom prefect import task, Nope  # here\nexcept ImportError:\n\tpass\n",
        "try:\n\tfrom prefectlite import task\n\tfrom prefect import Nope  # here\nexcept ImportError:\n\tpass\n",
    ),
    (
        "from prefect.utilities.notifications import (\n    callback_factory,  # a\n    Nope,\n)\n",
        "# a\nfrom prefectlite import callback_factory\nfrom prefect.utilities.notifications import Nope\n",
    ),
    ("from prefect import *\n", "from prefectlite import *\n"),
    ("import prefect\r\nprefect.task\r\n", "import prefectlite\r\nprefectlite.task\r\n"),
    (
        "import prefect\nä = 'ö', prefect.task, 'ü', prefect.Flow\n",
        "import prefectlite\nä = 'ö', prefectlite.task, 'ü', prefectlite.Flow\n",
    ),
    ("import prefect\nx = '''\n\x0c''', prefect.task\n", "import prefectlite\nx = '''\n\x0c''', prefectlite.task\n"),
    ("import prefect\nx = (prefect\n  .task)\n", "import prefect, prefectlite\nx = (prefect\n  .task)\n"),
    ("import prefect\nprefect.Nope\nprefect.task\n", "import prefect, prefectlite\nprefect.Nope\nprefectlite.task\n"),
    ("from prefect.storage import Nope\n", "from prefect.storage import Nope\n"),
    ("import prefect\ndef f(prefect): prefect.task\n", "import prefect\ndef f(prefect): prefect.task\n"),
    ("from . import prefect\nprefect.task\n", "from . import prefect\nprefect.task\n"),
    ("import prefectlite\n", "import prefectlite\n"),
    ("import prefectionist\n", "import prefectionist\n"),
]

REMARKS = [
    ("prefect.Client()", "unsupported", "prefect.Client", "async with prefectlite.Client(url)"),
    ("prefect.context.caches", "unsupported", "prefect.context.caches", "cache_for"),
    ("prefect.environments.storage.S3()", "unsupported", "prefect.environments", "executor="),
    ("prefect.config.cloud.heartbeat_interval", "unsupported", "prefect.config.cloud.heartbeat_interval", ""),
    ("prefect.config.flows.checkpointing = True", "unsupported", "prefect.config.flows.checkpointing = …", "read only"),
    ("prefect.Flow('x', environment=1)", "unsupported", "Flow(environment=…)", "executor="),
    ("prefect.task(timeout=0)", "unsupported", "task(timeout=0)", "leave it out"),
    ("prefect.task(timeout=True)", "unsupported", "task(timeout=True)", "timeout=1"),
    ("prefect.task(max_retires=1)", "unsupported", "task(max_retires=…)", "no such argument"),
    ("prefect.Parameter('x', dflt=1)", "unsupported", "Parameter(dflt=…)", "no such argument"),
    ("prefect.task(trigger=prefect.triggers.not_all_skipped)", "differs", "trigger=prefect.triggers.not_all_skipped", "run"),
    (
        "flow = prefect.Flow('x')\nflow.register('p', build=False)",
        "unsupported",
        "Flow.register(build=…)",
        "nothing is built",
    ),
    ("with prefect.Flow('x') as f: pass\nf.run(runner_cls=1)", "unsupported", "f.run(runner_cls=…)", "one engine"),
    ("with prefect.Flow('x') as f: pass\nstate = f.run()", "differs", "the value of f.run(…)", "FlowRun"),
    ("f = prefect.Flow('x')\nasync def g(): f.run()", "unsupported", "f.run(…) in an async function", "await f.run(…)"),
    ("f = prefect.Flow('x')\nf.environment = 1", "unsupported", "f.environment", "leave it out"),
    ("class R(prefect.engine.FlowRunner): pass", "unsupported", "class R(prefect.engine.FlowRunner)", "one engine"),
    ("class E(prefect.executors.Executor): pass", "unsupported", "class E(prefect.executors.Executor)", "choose one"),
    ("@prefect.task\nasync def t(): pass", "differs", "async task t", "awaited"),
    ("@prefect.task()\nasync def t(): yield", "unsupported", "task t: an async generator", "return a list"),
    ("@prefect.task\ndef t():\n    sys.exit(1)", "differs", "sys.exit(…) in task t", "fails the task"),
    ("prefect.schedules.CronSchedule('* * * * *')", "differs", "CronSchedule(…)", "Debian"),
    (
        "os.environ['PREFECT__LOGGING__LEVEL']",
        "unsupported",
        "the variable PREFECT__LOGGING__LEVEL",
        "PREFECTLITE_LOG_LEVEL",
    ),
    (
        "x = 'PREFECT__CONTEXT__SECRETS__KEY'",
        "unsupported",
        "the variable PREFECT__CONTEXT__SECRETS__KEY",
        "PREFECTLITE_SECRET_KEY",
    ),
    ("x = 'PREFECT__CLOUD__AGENT__NAME'", "unsupported", "the variable PREFECT__CLOUD__AGENT__NAME", "prefectlite config"),
    ("logging.getLogger('prefect')", "differs", "the text 'prefect'", "'prefectlite'"),
    (
        "patch('prefect.engine.signals.FAIL')",
        "differs",
        "the text 'prefect.engine.signals.FAIL'",
        "'prefectlite.signals.FAIL'",
    ),
    ("os.system('prefect run -n x')", "differs", "the command `prefect run`", "python -m prefectlite run"),
]


@pytest.mark.parametrize(("before", "after"), REWRITTEN)
def test_a_file_becomes(before: str, after: str) -> None:
    made = SourceFile("x.py", before.encode()).rewritten()
    assert made.decode() == after
    ast.parse(made)
    if "import prefect\n" not in after and "import prefect," not in after:
        assert SourceFile("x.py", made).rewritten() == made, "once is enough"


@pytest.mark.parametrize(("code", "kind", "what", "mend"), REMARKS)
def test_it_is_remarked(code: str, kind: str, what: str, mend: str) -> None:
    found = SourceFile("x.py", f"import prefect\n{code}\n".encode()).findings()
    assert [(one.what, one.kind) for one in found if one.kind != "change"] == [(what, kind)], found
    assert mend in next(one.mend for one in found if one.kind != "change")


def test_places_count_from_one_and_changes_say_what_becomes() -> None:
    found = SourceFile("x.py", b"import prefect\nx = 'a', prefect.engine.signals.SKIP\n").findings()
    assert [(one.line, one.column, one.what, one.mend) for one in found] == [
        (1, 1, "import prefect", "import prefectlite"),
        (2, 10, "prefect.engine.signals.SKIP", "prefectlite.signals.SKIP"),
    ]


def test_other_files_have_nothing_to_say() -> None:
    code = b"import os\nflow = Flow('x', environment=1)\nlog = 'PREFECT__X'\n"
    assert SourceFile("x.py", code).findings() == []


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-8"])
def test_the_encoding_stays(encoding: str) -> None:
    cookie = "# coding: latin-1\n" if encoding == "latin-1" else ""
    before = f"{cookie}import prefect\nx = 'äöü', prefect.task\n".encode(encoding)
    after = f"{cookie}import prefectlite\nx = 'äöü', prefectlite.task\n".encode(encoding)
    assert SourceFile("x.py", before).rewritten() == after


def test_f_strings_are_changed_or_left_to_be_done_by_hand() -> None:
    before = 'import prefect\nx = f"""{1}\n  {prefect.task!r}"""\n'
    source = SourceFile("x.py", before.encode())
    made = source.rewritten().decode()
    by_hand = [one.mend for one in source.findings() if one.kind == "unsupported"]
    assert ("{prefectlite.task!r}" in made) != (by_hand == ["write prefectlite.task"])
    ast.parse(made)


NAMES = st.sampled_from(
    [
        "prefect.task",
        "prefect.Nope",
        "prefect.engine.signals.SKIP",
        "signals.FAIL",
        "pf.triggers.all_failed",
        "prefect",
        "other",
    ]
)
IMPORTS = st.sampled_from(
    [
        "import prefect",
        "import prefect as pf, os",
        "import prefect.engine.signals",
        "from prefect.engine import signals, Nope",
        "from prefect import task, case as c",
        "import json; import prefect.triggers",
    ]
)
LINES = st.one_of(IMPORTS, st.builds("x = {}, 'ä', {}".format, NAMES, NAMES), st.builds("f({})  # é".format, NAMES))


@given(st.lists(LINES, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_whatever_the_file_lines_stay_and_it_is_python(lines: list[str], newline: str) -> None:
    code = newline.join(lines).encode()
    source = SourceFile("x.py", code)
    made = source.rewritten()
    ast.parse(made)
    assert made.count(newline.encode()) >= code.count(newline.encode())
    assert SourceFile("x.py", made).rewritten().count(b"prefectlite") >= made.count(b"prefectlite")
    assert all(1 <= one.line <= max(len(lines), 1) for one in source.findings())
