"""Run the benchmarks: all of them, or those whose names contain one of the words given."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import in_process, logs, record, schedules, stored, subscribers, whole_process
from tests.benchmarks.figures import Figure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("words", nargs="*", help="only the benchmarks whose name contains one of these")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    options = parser.parse_args()
    console = Console()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as directory:
        os.environ["PREFECTLITE_CONFIG"] = str(Path(directory, "none.toml"))
        for benchmark in (
            *in_process.ALL,
            *whole_process.ALL,
            *record.ALL,
            logs.logs,
            stored.stored,
            subscribers.subscribers,
            schedules.schedules,
        ):
            name = benchmark.__name__.replace("_", " ")
            if options.words and not any(word in name for word in options.words):
                continue
            os.environ["PREFECTLITE_DATABASE_URL"] = f"sqlite:///{directory}/{benchmark.__name__}.sqlite"
            with console.status(name):
                figures.extend(benchmark(Path(directory)))
    console.print(_table(figures))
    if options.json:
        machine = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "cores": os.cpu_count()}
        content = {"machine": machine, "figures": [figure.as_dict() for figure in figures]}
        options.json.write_text(json.dumps(content, indent=2))


def _table(figures: list[Figure]) -> Table:
    table = Table(title=f"prefectlite on Python {platform.python_version()}, {os.cpu_count()} cores, {sys.platform}")
    for heading, justify in (("benchmark", "left"), ("figure", "right"), ("bar", "right"), ("compared with", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for figure in figures:
        table.add_row(figure.name, figure.shown(), figure.bar, figure.comparison)
    return table


if __name__ == "__main__":
    main()
