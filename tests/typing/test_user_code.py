"""What a user's type checker says of code that uses prefectlite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prefectlite import states

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def check(file: Path) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", str(file)]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_users_code_is_typed() -> None:
    done = check(HERE / "user_code.py")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_same_code_works() -> None:
    from tests.typing import user_code

    state = user_code.script()
    assert isinstance(state, states.Success), state
    assert user_code.careful() == state.message


def test_prefectlite_says_that_it_is_typed() -> None:
    import prefectlite

    assert (Path(prefectlite.__file__).parent / "py.typed").is_file()
