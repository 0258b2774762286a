"""`prefectlite migrate`: what changes in code written for Prefect 1.x."""

from __future__ import annotations

import io
import itertools
import sys
from collections import Counter
from pathlib import Path

import click
import msgspec
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from prefectlite.cli.tables import OUTPUT, show_data
from prefectlite.disk import replace
from prefectlite.migrate.files import files_in
from prefectlite.migrate.findings import Finding, Kind
from prefectlite.migrate.source import examined
from prefectlite.shown import printable

_STYLES = {"change": "green", "differs": "yellow", "unsupported": "bold red"}
_TOLD: dict[Kind, str] = {"change": "can be changed", "differs": "behave(s) otherwise", "unsupported": "not supported"}
_EPILOG = """The files are read, not run. `change` is what --write does; `differs` runs, and behaves otherwise; `unsupported`
does not run as it stands."""


@click.command("migrate", epilog=_EPILOG)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--write", is_flag=True, help="Change imports and names in the files, where that is safe.")
@click.option("--check", is_flag=True, help="Leave with 1 if something is not supported.")
@OUTPUT
def command(files: tuple[Path, ...], write: bool, check: bool, output: str) -> None:
    """Say what changes in FILES (or directories) written for Prefect 1.x, line by line, and what is not supported."""
    found: list[Finding] = []
    written = read = 0
    for path in files_in(files):
        source = examined(path)
        read += 1
        if isinstance(source, Finding):
            found.append(source)
            continue
        found += source.findings()
        if write and (content := source.rewritten()) != source.content:
            replace(path, content)
            written += 1
    if output != "table":
        show_data([msgspec.structs.asdict(finding) for finding in found], output)
    else:
        _show(found)
        _sum_up(found, read, written, write=write)
    if check and any(finding.kind == "unsupported" for finding in found):
        sys.exit(1)


def _show(found: list[Finding]) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    for file, findings in itertools.groupby(found, lambda finding: finding.file):
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(justify="right", style="dim", no_wrap=True, min_width=5)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for finding in findings:
            text = Text.assemble(printable(finding.what), "\n", (f"→ {_indented(finding.mend)}", "dim"))
            table.add_row(str(finding.line), Text(finding.kind, style=_STYLES[finding.kind]), text)
        shown = Group(Text(printable(file), style="bold"), table, "")
        if console.is_terminal:
            console.print(shown)
            continue
        plain = Console(file=io.StringIO(), width=10_000)  # who reads a pipe has no width, and no use for padding
        with plain.capture() as capture:
            plain.print(shown)
        click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _indented(mend: str) -> str:
    return "\n  ".join(printable(line) for line in mend.splitlines())


def _sum_up(found: list[Finding], read: int, written: int, *, write: bool) -> None:
    counts = Counter(finding.kind for finding in found)
    told = ", ".join(f"{counts[kind]} {words}" for kind, words in _TOLD.items() if counts[kind])
    click.echo(f"{read} file{'s' * (read != 1)} read: {told or 'nothing of Prefect 1.x'}")
    if write:
        click.echo(f"{written} file{'s' * (written != 1)} written")
    elif counts["change"]:
        click.echo("--write makes the changes")
