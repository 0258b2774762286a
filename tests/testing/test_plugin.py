from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from prefectlite import testing

CONFTEST = """
import prefectlite.testing.plugin as plugin

def pytest_configure(config):
    if not config.pluginmanager.is_registered(plugin):  # it is not where prefectlite is installed
        config.pluginmanager.register(plugin, "prefectlite")
"""
TEST = """
import sys
LOADED = {name for name in ("prefectlite.flow", "prefectlite.engine", "aiosqlite") if name in sys.modules}

from datetime import timedelta
from prefectlite import Flow, task

def test_collecting_loads_nothing_of_prefectlite():
    assert not LOADED

@task(max_retries=3, retry_delay=timedelta(hours=1))
def download():
    raise AssertionError("the real code")

with Flow("report") as report:
    rows = download()

def test_success(prefectlite_database, prefectlite_injecting):
    prefectlite_injecting(report, {"download": [1, 2]})
    assert report.run()[rows] == [1, 2]

def test_failure(prefectlite_database, prefectlite_clock, prefectlite_injecting):
    prefectlite_injecting(report, {download: ConnectionError()} if download in report.tasks else {"download": OSError()})
    assert report.run().is_failed()
    assert prefectlite_clock.elapsed == 3 * 3600
"""


def test_a_project_has_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_report.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "3 passed" in done.stdout, done.stdout


def test_it_is_an_entry_point() -> None:
    path = Path(__file__).parents[2] / "pyproject.toml"
    entry_points = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["entry-points"]
    assert entry_points == {"pytest11": {"prefectlite": "prefectlite.testing.plugin"}}


@pytest.mark.parametrize("name", testing.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(testing, name) is not None
    assert name in dir(testing)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'clock_of_doom'"):
        _ = testing.clock_of_doom
