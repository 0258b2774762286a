"""Every case of the table, from Python, on the command line and through the API."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import runpy
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from prefectlite import Flow, FlowRun, Runtime, task
from prefectlite.errors import PrefectliteError
from prefectlite.records import ResultRecord
from prefectlite.results import codec
from prefectlite.shown import told
from tests.bad_input.behaviour import BEHAVIOUR
from tests.bad_input.cases import TRACEBACK, Case, check_consistent, digest
from tests.bad_input.definitions import DEFINITIONS
from tests.bad_input.results import RESULTS
from tests.bad_input.texts import TEXTS
from tests.scenarios.processes import prefectlite, rows

CASES = [*DEFINITIONS, *RESULTS, *TEXTS, *BEHAVIOUR]
MOST_OF_A_ROW = 3  # on the command line
every_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
# Python 3.12 and newer warn of any fork in a process with threads; Python reports what a task leaves open when it likes.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

with Flow("good") as good:
    task(lambda: "fine", name="fine")()


@pytest.fixture(autouse=True)
def own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cases change of the process is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", sys.stdout)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The database that the case meets; something is in it."""
    assert good.run().is_successful()
    return tmp_path / "test.sqlite"


def log_as_in_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pytest's handlers, which raise for what cannot be formatted; it has put them there when the test begins."""
    logger = logging.getLogger("prefectlite")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [])


@contextmanager
def warned(case: Case) -> Iterator[None]:
    """The block gives the warning that the case is to give."""
    if not case.warns:
        yield
        return
    with pytest.warns(UserWarning, match=case.warns):
        yield


def run(case: Case, path: Path) -> FlowRun | None:
    """What `flow.run` returns; None where the code of the case has run the flow itself."""
    with warned(case):
        flow = runpy.run_path(str(path), run_name="flow_under_test")["flow"]
    return flow.run(parameters=dict(case.parameters)) if case.cli else None


@every_case
def test_from_python(
    case: Case, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log_as_in_a_script(monkeypatch)
    path = case.write(tmp_path)
    for name, value in case.environ.items():
        monkeypatch.setenv(name, value)
    before = digest(database)
    if case.raises is not None:
        with pytest.raises(case.raises, match=case.says) as caught:
            run(case, path)
        assert isinstance(caught.value, PrefectliteError | TypeError)
        assert digest(database) == before
    else:
        outcome = run(case, path)
        if outcome is not None:
            check_run(case, database, outcome.id)
            states = {task.name: state for task, state in outcome.result.items()}
            for name, expected in case.states.items():
                assert re.match(
                    expected, f"{type(states[name]).__name__}: {told(states[name].message, str, 10**6)}", re.DOTALL
                )
    check_consistent(database)
    assert good.run().is_successful(), "the process goes on"
    assert "Logging error" not in capfd.readouterr().err


def check_run(case: Case, database: Path, run_id: str) -> None:
    """The record tells of the run what the case expects."""
    query = "SELECT t.name, r.state, r.state_message, x.encoding, x.data FROM task_run r JOIN task t ON t.id = r.task_id"
    query += " LEFT JOIN result x ON x.task_run_id = r.id WHERE r.flow_run_id = ? AND r.map_index < 0"
    found = {name: row for name, *row in rows(database, query, run_id)}
    for name, expected in case.states.items():
        assert re.match(expected, f"{found[name][0]}: {found[name][1]}", re.DOTALL), found[name][:2]
    for name, value in case.kept.items():
        kept = codec.decode(ResultRecord(found[name][2] or "none", found[name][3]))
        assert kept == value or (math.isnan(kept) and math.isnan(value))
    if case.log:
        lines = [message for (message,) in rows(database, "SELECT message FROM log WHERE flow_run_id = ?", run_id)]
        assert any(re.search(case.log, line) for line in lines), lines


def a_few_of_each_row() -> Iterator[Case]:
    """A process of its own for every case would take minutes."""
    count: Counter[str] = Counter()
    for case in CASES:
        row = case.name.split()[0]
        if case.cli and count[row] < MOST_OF_A_ROW:
            count[row] += 1
            yield case


@pytest.mark.parametrize("case", list(a_few_of_each_row()), ids=lambda case: case.name)
def test_on_the_command_line(case: Case, database: Path, tmp_path: Path) -> None:
    case.write(tmp_path)
    before = digest(database)
    arguments = [f"-p{name}={msgspec.json.encode(value).decode()}" for name, value in case.parameters.items()]
    result = prefectlite("run", "flow.py", *arguments, cwd=tmp_path, PYTHONWARNINGS="ignore", **case.environ)
    assert result.returncode == case.exit_code, result.stderr
    assert TRACEBACK not in result.stderr or case.child
    if case.raises is not None:
        assert re.search(case.says, result.stderr), result.stderr
        assert digest(database) == before
    else:
        assert result.stderr == "" or case.child
        [(run_id,)] = rows(database, "SELECT id FROM flow_run ORDER BY id DESC LIMIT 1")
        check_run(case, database, run_id)
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout
    check_consistent(database)


QUERY = """{
    flow_run(order_by: {created: desc}, limit: 1) {
        state state_message parameters task_runs { state state_message name } logs { message }
    }
}"""


@every_case
def test_through_the_api(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused is refused there, too; what runs is told of; and the server goes on."""
    log_as_in_a_script(monkeypatch)
    path = case.write(tmp_path)
    for name, value in case.environ.items():
        monkeypatch.setenv(name, value)
    flow: Any = None
    with suppress(case.raises or (), KeyError), warnings.catch_warnings(action="ignore"):  # a KeyError: it defines none
        made = runpy.run_path(str(path), run_name="flow_under_test")["flow"] if case.cli else good
        made.validate()
        flow = made
    asyncio.run(served(case, flow))


async def served(case: Case, flow: Any) -> None:
    async with Runtime([good] if flow is None else [good, flow], agent=False) as runtime:
        transport = httpx.ASGITransport(runtime.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:9999") as http:

            async def ask(query: str, **variables: Any) -> Any:
                response = await http.post("/graphql", json={"query": query, "variables": variables})
                assert response.status_code < 500
                return response.json()

            if case.api:
                known = await ask("query q($n: String) { flow(where: {name: {_eq: $n}}) { id } }", n=flow.name)
                mutation = "mutation m($input: create_flow_run_input!) { create_flow_run(input: $input) { id } }"
                given = {"flow_id": known["data"]["flow"][0]["id"], "parameters": dict(case.parameters)}
                answer = await ask(mutation, input=given)
                assert answer["errors"][0]["extensions"]["code"] == case.api
                assert flow.name in answer["errors"][0]["message"]
                assert (await ask("{ flow_run { id } }"))["data"]["flow_run"] == []
            elif flow is not None and case.raises is None and case.cli:
                await flow.run(parameters=dict(case.parameters))
            assert (await good.run()).is_successful()
            answer = await ask(QUERY)
            assert answer["data"]["flow_run"][0]["state"] == "Success"
            assert "errors" not in await ask(QUERY.replace("limit: 1", "limit: 2"))


def test_a_flow_that_cannot_be_saved_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "saved.flow"
    good.save(path)
    before = path.read_bytes()
    bad = good.copy()
    bad.iterator = (x for x in [1])  # type: ignore[attr-defined]
    with pytest.raises(PrefectliteError, match=r"flow 'good'.iterator → generator"):
        bad.save(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir() if "saved" in one.name] == ["saved.flow"]
