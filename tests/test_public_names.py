"""What `import prefectlite` promises, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import prefectlite


@pytest.mark.parametrize("name", prefectlite.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(prefectlite, name) is not None
    assert name in dir(prefectlite)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Flo'"):
        _ = prefectlite.Flo


def test_the_settings_in_force_are_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECTLITE_PORT", "9000")
    assert prefectlite.config.port == 9000
    monkeypatch.setenv("PREFECTLITE_PORT", "9001")
    assert prefectlite.config.port == 9001
    assert "config" in dir(prefectlite)


def test_names_are_what_they_say_in_whatever_order_modules_are_imported() -> None:
    code = "import prefectlite.flow, prefectlite.contexts, prefectlite.runtime; from prefectlite import *;" + (
        "assert callable(task) and callable(Flow) and callable(context) and hasattr(triggers, 'all_successful'), task"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_flow_and_task_loads_nothing_heavy() -> None:
    heavy = ("graphene", "graphql", "starlette", "uvicorn", "asyncpg", "httpx", "rich", "click", "distributed")
    code = f"from prefectlite import Flow, task; import sys; print(*(m for m in {heavy} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""
