"""`prefectlite run FLOW --schedule`."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefectlite.cli import main
from tests.scenarios.processes import rows

FLOW = """
from datetime import UTC, datetime, timedelta
from prefectlite import Flow, Parameter, task
from prefectlite.schedules import Schedule, clocks

begun = datetime.now(UTC)

@task
def check(number):
    assert number == 1, number

with Flow("timed", schedule=Schedule(clocks=[
    clocks.DatesClock([begun + timedelta(seconds=1)]),
    clocks.DatesClock([begun + timedelta(seconds=1.5)], parameter_defaults={{"number": 2}}),
])) as flow:
    check(Parameter("number", default=1))

with Flow("untimed") as untimed:
    check(Parameter("number", default=1))

with Flow("over", schedule=Schedule(clocks=[clocks.DatesClock([datetime(2001, 1, 1, tzinfo=UTC)])])) as over:
    check(Parameter("number", default=1))
"""


def code_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flow: str) -> int:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "timed.py").write_text(FLOW.replace("{{", "{").replace("}}", "}"))
    with pytest.raises(SystemExit) as left:
        main(["run", f"timed.py:{flow}", "--schedule", "--plain"])
    assert isinstance(left.value.code, int)
    return left.value.code


def test_one_after_another_until_there_are_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(tmp_path, monkeypatch, "timed") == 1, "as the last one ended"
    assert capsys.readouterr().err.count("Waiting for next scheduled run at ") == 2
    found = rows(tmp_path / "test.sqlite", "SELECT state, parameters FROM flow_run ORDER BY scheduled_start_time")
    assert found == [("Success", "{}"), ("Failed", '{"number":2}')]


def test_a_flow_without_a_schedule_runs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(tmp_path, monkeypatch, "untimed") == 0


def test_a_schedule_that_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(tmp_path, monkeypatch, "over") == 65
    assert "Flow has no more scheduled runs. ('over')" in capsys.readouterr().err
