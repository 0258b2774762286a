"""The UI's sources agree with the API: its schema is the server's, and its queries have the right types."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import prefectlite

WEB = Path(prefectlite.__file__).parent / "ui" / "web"


def test_the_ui_knows_the_servers_schema() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "prefectlite.api.sdl"], check=True, capture_output=True, text=True
    ).stdout
    assert (WEB / "schema.graphql").read_text() == printed, (
        "python -m prefectlite.api.sdl > prefectlite/ui/web/schema.graphql"
    )


@pytest.mark.skipif(shutil.which("npm") is None, reason="no Node here: the build brought its own and took it away again")
def test_the_ui_type_checks() -> None:
    if not (WEB / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--silent"], cwd=WEB, check=True)
    done = subprocess.run(["npm", "run", "--silent", "check"], cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
