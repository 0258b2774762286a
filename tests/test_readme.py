"""What the README shows works as printed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.processes import PATIENCE, serving

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "bash", "graphql", ""}
    assert len([text for kind, text in BLOCKS if kind == ""]) == 1, "one picture"


@pytest.mark.parametrize("code", blocks("python"))
def test_python(code: str, tmp_path: Path) -> None:
    (tmp_path / "readme.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "readme.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "say_hello" in code:
        assert done.stdout == "Hello, world!\n"


@pytest.mark.parametrize("line", [line for text in blocks("bash") for line in text.splitlines()])
def test_bash(line: str, tmp_path: Path, free_port: int) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    install, _, command = line.rpartition(" && ")
    assert not install or re.fullmatch(r'pip install (-e )?"\.\[(examples|test)\]"', install)
    _, module_flag, module, *arguments = shlex.split(command)
    assert module_flag == "-m"
    if module == "pytest":
        assert command == "python -m pytest", "which is what runs this"
    elif module == "tests.benchmarks":
        assert (ROOT / "tests" / "benchmarks" / "__main__.py").is_file()
        _run([sys.executable, "-m", module, "chain"], ROOT)
    elif arguments[0] == "serve":
        with serving(*arguments[1:], port=free_port, cwd=tmp_path) as server:
            query = blocks("graphql")[0]
            assert server.graphql(query) == {"flow_run": []}
            assert server.stop()[0] == 0
    else:
        _run([sys.executable, "-m", module, *arguments], tmp_path)


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stdout + done.stderr
