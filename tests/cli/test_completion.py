"""`prefectlite completion`: the scripts, run by the shells they are for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.processes import PATIENCE, prefectlite


def completed(words: str, tmp_path: Path) -> list[str]:
    """What bash offers after `prefectlite WORDS`."""
    command = tmp_path / "bin" / "prefectlite"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from prefectlite.cli import main; main()" "$@"\n')
    command.chmod(0o755)
    script = (
        'eval "$(prefectlite completion bash)"; complete -p prefectlite >&2;'
        f"COMP_WORDS=(prefectlite {words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ));"
        '_prefectlite_completion prefectlite; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "_prefectlite_completion" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("re", ["register", "resume", "restart"]),
        ("get fl", ["flow-runs", "flows"]),
        ("run --na", ["--name"]),
        ("get flows --output ''", ["json", "table", "yaml"]),
        ("nothing-like-it", []),
    ],
)
def test_bash_completes(words: str, expected: list[str], tmp_path: Path) -> None:
    assert sorted(completed(words, tmp_path)) == sorted(expected)


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -o nosort"), ("zsh", "#compdef"), ("fish", "complete --no-files")]
)
def test_each_shell_has_its_script(shell: str, word: str, tmp_path: Path) -> None:
    done = prefectlite("completion", shell, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert word in done.stdout
    assert "_PREFECTLITE_COMPLETE" in done.stdout


def test_completing_commands_imports_none_of_them(tmp_path: Path) -> None:
    code = "import sys, atexit; atexit.register(lambda: print('LOADED', *(m for m in sys.modules if m in heavy)));" + (
        "heavy = ('rich', 'starlette', 'graphene', 'uvicorn'); from prefectlite.cli import main; main()"
    )
    environment = {
        **os.environ,
        "_PREFECTLITE_COMPLETE": "bash_complete",
        "COMP_WORDS": "prefectlite s",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert "plain,serve" in done.stdout
    assert done.stdout.splitlines()[-1] == "LOADED"
