"""Showing a run in the terminal: live, or as a plain stream of lines."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from prefectlite.cli.run_view import Change, RunView, TaskView
from prefectlite.clock import from_micros
from prefectlite.records import LogRow
from prefectlite.shown import printable, printable_lines
from prefectlite.states import BY_NAME, Failed, State, Success

_MARKS = {"Pending": "·", "Running": "▶", "Success": "✓", "Cached": "✓", "Mapped": "▤", "Skipped": "↷", "Retrying": "↻"}
_LEVELS = {"DEBUG": "dim", "INFO": "", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}
_MOST_ROWS = 40
#: Before what follows a line break in a message, so that no message looks like a line of ours.
_INDENT = " " * len("00:00:00  ")


class Display(Protocol):
    """What `prefectlite run` tells of a run."""

    @contextmanager
    def showing(self, view: RunView) -> Iterator[None]:
        """Show the run for the length of the block."""
        ...

    def changed(self, view: RunView, change: Change) -> None:
        """Something entered a state."""
        ...

    def line(self, view: RunView, row: LogRow) -> None:
        """A line was logged."""
        ...

    def end(self, view: RunView, state: State) -> None:
        """The run ended."""
        ...

    def last_words(self) -> None:
        """The process ends now, wherever it is."""
        ...


class PlainDisplay:
    """A line for every state and every log line, for pipes, files and logs of other systems."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def showing(self, view: RunView) -> Iterator[None]:
        self._print(datetime.now().astimezone(), "flow run", f"{view.flow_name} ({view.run_id})")
        yield

    def changed(self, view: RunView, change: Change) -> None:
        if change.task is None:
            return
        bad = issubclass(BY_NAME[change.state.name], Failed)
        if change.index >= 0 and not bad and change.state.name != "Retrying":
            return  # thousands of children that go well are one line, when all have ended
        label = change.task.name if change.index < 0 else f"{change.task.name}[{change.index}]"
        self._print(
            from_micros(change.state.timestamp).astimezone(), label, change.state.name, change.state.message if bad else ""
        )

    def line(self, view: RunView, row: LogRow) -> None:
        self._print(
            from_micros(row.timestamp).astimezone(), view.names.get(row.task_run_id or "", "log"), row.level, row.message
        )

    def end(self, view: RunView, state: State) -> None:
        now = datetime.now().astimezone()
        for task in view.tasks.values():
            if task.is_mapped and task.children:
                counts = ", ".join(f"{count:,} {name}" for name, count in sorted(task.counts.items()) if count)
                self._print(now, task.name, f"{len(task.children):,} children: {counts}")
        self._print(now, "flow run", state.name, state.message or "")

    def last_words(self) -> None:
        """Nothing: the lines say how far it came."""

    def _print(self, at: datetime, *parts: str | None) -> None:
        text = "  ".join(printable_lines(part, _INDENT) for part in parts if part)
        self._console.print(f"{at:%H:%M:%S}  {text}", markup=False, soft_wrap=True)


class QuietDisplay:
    """The id of the run, and no more."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def showing(self, view: RunView) -> Iterator[None]:
        self._console.print(view.run_id)
        yield

    def changed(self, view: RunView, change: Change) -> None:
        """Nothing."""

    def line(self, view: RunView, row: LogRow) -> None:
        """Nothing."""

    def end(self, view: RunView, state: State) -> None:
        """Nothing: the exit code says it."""

    def last_words(self) -> None:
        """Nothing."""


class LiveDisplay:
    """A table of the tasks that changes in place, with the log above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    @contextmanager
    def showing(self, view: RunView) -> Iterator[None]:
        self._began = time.monotonic()
        with Live(console=self._console, refresh_per_second=12, get_renderable=lambda: self._picture(view), transient=False):
            yield

    def changed(self, view: RunView, change: Change) -> None:
        """Nothing to print: the table is drawn again, and what failed is in the log."""

    def line(self, view: RunView, row: LogRow) -> None:
        at = f"{from_micros(row.timestamp).astimezone():%H:%M:%S}"
        name = view.names.get(row.task_run_id or "", row.name.removeprefix("prefectlite."))
        message = (printable_lines(row.message, _INDENT), _LEVELS.get(row.level, ""))
        text = Text.assemble((at, "dim"), "  ", (f"{printable(name)}  ", "cyan"), message)
        self._console.print(text)

    def end(self, view: RunView, state: State) -> None:
        style = "bold green" if isinstance(state, Success) else "bold red"
        message = escape(printable_lines(state.message or "", _INDENT))
        self._console.print(f"[{style}]{state.name}[/]  {message}  [dim]{self._elapsed()}  {view.run_id}[/]")

    def last_words(self) -> None:
        os.write(1, b"\x1b[?25h\n")  # the cursor, which was hidden; the console's own lock may be held

    def _picture(self, view: RunView) -> RenderableType:
        title = Text.assemble((view.flow_name, "bold"), (f"  {self._elapsed()}", "dim"))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        rows = list(view.tasks.values())
        hidden = max(len(rows) - _MOST_ROWS, 0)
        if hidden:  # what is at work and what went wrong is worth the room
            rows = sorted(rows, key=_rank)[:_MOST_ROWS]
        for task in rows:
            table.add_row(*_row(task))
        if hidden:
            table.add_row("", Text(f"… and {hidden} more tasks", style="dim"))
        return Group(title, table)

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._began:.1f} s"


def _rank(task: TaskView) -> int:
    if task.state in ("Running", "Retrying") or (task.is_mapped and 0 < task.finished < len(task.children)):
        return 0
    return 1 if issubclass(BY_NAME[task.state], Failed) or task.failed else 2


def _row(task: TaskView) -> tuple[RenderableType, ...]:
    state = task.state
    bad = issubclass(BY_NAME[state], Failed)
    mark = Text(_MARKS.get(state, "✗" if bad else "■"), style=BY_NAME[state].color)
    if task.is_mapped and (task.children or state == "Mapped"):
        total = task.width or max(len(task.children), 1)
        failed = Text(f"{task.failed:,} failed", style="red") if task.failed else Text("")
        bar = ProgressBar(total=total, completed=task.finished, width=24)
        return mark, Text(task.name), bar, Text(f"{task.finished:,} of {total:,}"), failed
    note = printable(task.message or "") if bad or state in ("Retrying", "Skipped") else ""
    return mark, Text(task.name), Text(state, style=BY_NAME[state].color), Text(note, style="dim", overflow="ellipsis")
