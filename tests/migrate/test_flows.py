"""Flows written for Prefect 1.x: rewritten they do the same on prefectlite as the originals do on Prefect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.processes import PATIENCE, prefectlite

HERE = Path(__file__).parent / "flows"
#: File -> what it prints.
EXPECTED: dict[str, Any] = {
    "shop.py": {
        "state": "Success",
        "children": ["Success", "Skipped", "Success"],
        "skipped": True,
        "told": "shop: 13",
        "called": "called",
        "failed": 7,
    },
    "files.py": {
        "ok": True,
        "greeting": "Hello, eve!",
        "file": ["Hello, eve!", 32],
        "spelled": ["A", "B", "C"],
        "seen": ["Greet", "cleaned up", "files"],
        "tagged": ["Greet"],
    },
    "clocks.py": {
        "times": [
            *(f"2024-05-03T{time}:00+00:00" for time in ("01:30", "03:00", "06:00", "09:00")),
            *(f"{day}T00:00:00+00:00" for day in ("2025-05-04", "2026-05-05", "2027-05-06", "2028-05-06")),
        ],
        "cron": 1,
        "value": 5,
        "day": True,
    },
}


def test_all_of_them_are_tried() -> None:
    assert set(EXPECTED) == {path.name for path in HERE.glob("*.py")} - {"__init__.py"}


@pytest.mark.parametrize("name", EXPECTED)
def test_rewritten_it_runs(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes((HERE / name).read_bytes())
    migrated = prefectlite("migrate", name, "--write", "--check", cwd=tmp_path)
    assert migrated.returncode == 0, migrated.stdout + migrated.stderr
    assert _printed(sys.executable, tmp_path / name, tmp_path) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_original_does_the_same_on_prefect(name: str, tmp_path: Path) -> None:
    python = os.environ.get("PREFECT_1_PYTHON")
    if not python:
        pytest.skip("PREFECT_1_PYTHON names no Python that has Prefect 1.4")
    settings = {"PREFECT__FLOWS__CHECKPOINTING": "true", "PREFECT__LOGGING__LEVEL": "CRITICAL"}
    assert _printed(python, HERE / name, tmp_path, **settings, PREFECT__HOME_DIR=str(tmp_path)) == EXPECTED[name]


def _printed(python: str, file: Path, directory: Path, **environ: str) -> Any:
    done = subprocess.run(
        [python, "-W", "ignore", str(file)],
        cwd=directory,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
