"""A case of bad input: a flow that does something it should not, and what is to come of it, wherever it is run."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: What the code of every case may use.
HEAD = """\
import asyncio, concurrent.futures, ctypes, io, logging, os, signal, subprocess, sys, threading, time
from datetime import timedelta
from prefectlite import *
from prefectlite.executors import ProcessExecutor
from prefectlite.results import LocalResult

@task
def take(x=None):
    return x

@task
def kind(x):
    return type(x).__name__

"""
#: What a user's mistake never shows.
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Case:
    """`code` defines `flow`, which is run with `parameters`.

    Either it is refused: `raises` is raised, by the code or by the run, and says `says`; nothing is recorded. Or it runs:
    `states` gives for tasks by name what `State: message` matches, `log` what a line of the run's log does. `kept` are the
    results that the record has. `exit` is what the command line leaves with. `api` is the code with which the API answers.
    """

    name: str
    code: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    raises: type[BaseException] | None = None
    says: str = ""
    states: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    kept: Mapping[str, Any] = field(default_factory=dict)
    exit: int | None = None
    api: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    warns: str = ""  # a Python warning that the code gives, when the flow is written
    cli: bool = True  # whether it can be said on the command line
    child: bool = False  # whether a child process of the task's says something on standard error

    @property
    def exit_code(self) -> int:
        """What the command line leaves with: 65 for what is refused, 1 for what fails."""
        if self.exit is not None:
            return self.exit
        return 65 if self.raises is not None else 1 if any("ailed:" in state for state in self.states.values()) else 0

    def write(self, directory: Path) -> Path:
        """The file with the code."""
        path = directory / "flow.py"
        path.write_text(HEAD + self.code, encoding="utf-8")
        return path


def one(body: str, *, decorator: str = "@task", is_async: bool = False) -> str:
    """The code of a flow whose task `bad` does `body`, and whose task `kind` takes the result."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    head = f"{decorator}\n{'async ' if is_async else ''}def bad():\n{lines}\n"
    return f"{head}\nwith Flow('one') as flow:\n    kind(bad())\n"


def made(expression: str, *tasks: str) -> str:
    """The code of a flow made of these expressions, after the statement `expression`."""
    body = "\n".join(f"    {one}" for one in tasks or ("pass",))
    return f"{expression}\nwith Flow('made') as flow:\n{body}\n"


def digest(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""
    if not database.exists():
        return {}
    with contextlib.closing(sqlite3.connect(database)) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        ]
        return {table: connection.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables}


def check_consistent(database: Path, *, ended: bool = True) -> None:
    """The file is whole, every run is in the state its history ends with, and, if `ended`, that is a final one."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for kind in ("flow_run", "task_run"):
            torn = f"""
                SELECT r.id, r.version, r.state FROM {kind} r LEFT JOIN {kind}_state h
                ON h.{kind}_id = r.id AND h.version = r.version WHERE h.state IS NOT r.state
            """
            assert connection.execute(torn).fetchall() == []
            if ended:
                left = f"SELECT id, state FROM {kind} WHERE end_time IS NULL AND state NOT IN ('Mapped')"
                assert connection.execute(left).fetchall() == []
