"""Following a run that something else executes: its states and its log, as they come, until it has ended."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import aclosing
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from prefectlite.cli.asking import Answers
from prefectlite.cli.unpacking import alone
from prefectlite.errors import ApiError, NotFound, ServerUnreachable
from prefectlite.shown import printable
from prefectlite.states import BY_NAME, FINISHED, Failed

_RUN = "query ($id: uuid!) { flow_run_by_pk(id: $id) { name state flow { tasks { id name } } } }"
_STATES = """subscription ($id: uuid!, $after: bigint) { state_changes(flow_run_id: $id, after: $after) {
  seq kind task_run_id task_id map_index state message timestamp lagged } }"""
_LINE = "seq task_run_id timestamp level message"
_LINES = f"subscription ($id: uuid!, $after: bigint) {{ logs(flow_run_id: $id, after: $after) {{ {_LINE} lagged }} }}"
_REST = f"""query ($id: uuid!, $after: bigint) {{
  log(where: {{flow_run_id: {{_eq: $id}}, seq: {{_gt: $after}}}}, order_by: {{seq: asc}}) {{ {_LINE} }} }}"""
_LEVELS = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}
_SOONEST, _LATEST, _ENOUGH = 0.1, 2.0, 60.0  # seconds: between two tries to reach a server that went away, and all of them
News = dict[str, Any]


async def follow(answers: Answers, run_id: str, console: Console, *, with_log: bool = True) -> str:
    """Show the states of a run and, if asked for, its log, from its beginning to its end; the name of its final state.

    A server that goes away has a minute to come back: nothing is lost. Raises NotFound, and ApiError when it is over.
    """
    run = (await answers.ask(_RUN, id=run_id))["flow_run_by_pk"]
    if run is None:
        raise NotFound(f"There is no flow run {run_id!r}")
    following = _Following(answers, run_id, console, {task["id"]: task["name"] for task in run["flow"]["tasks"]})
    if not with_log:
        state = await following.states()
        following.end(state)
        return state
    with alone():
        async with asyncio.TaskGroup() as group:
            lines = group.create_task(following.lines())
            state = await following.states()
            lines.cancel()
    await following.rest_of_lines()
    following.end(state)
    return state


class _Following:
    def __init__(self, answers: Answers, run_id: str, console: Console, names: dict[str, str]) -> None:
        self._answers, self._run_id, self._console, self._names = answers, run_id, console, names
        self._labels: dict[str, str] = {}  # of task runs
        self._children: dict[str, dict[int, str]] = {}
        self._state_seq = self._line_seq = 0
        self._last: News | None = None

    async def states(self) -> str:
        """Show the states; the final one."""
        retrying = _Retrying()
        while True:
            try:
                async with aclosing(self._answers.news(_STATES, id=self._run_id, after=self._state_seq)) as news:
                    async for data in news:
                        retrying.succeeded()
                        one = data["state_changes"]
                        if one["lagged"]:
                            break  # some before it were dropped: they are read again
                        self._state_seq = one["seq"]
                        if one["kind"] == "flow_run" and one["state"] in FINISHED:
                            self._last = one
                            return str(one["state"])
                        self._state(one)
                    else:
                        raise ServerUnreachable("The server has ended the subscription")
            except ServerUnreachable as error:
                await retrying.wait(error)

    async def lines(self) -> None:
        """Show the log until cancelled."""
        retrying = _Retrying()
        while True:
            try:
                async with aclosing(self._answers.news(_LINES, id=self._run_id, after=self._line_seq)) as news:
                    async for data in news:
                        retrying.succeeded()
                        if data["logs"]["lagged"]:
                            break
                        self._line(data["logs"])
                    else:
                        raise ServerUnreachable("The server has ended the subscription")
            except ServerUnreachable as error:
                await retrying.wait(error)

    async def rest_of_lines(self) -> None:
        """Show what was logged by the run's end and has not come yet."""
        while rest := (await self._answers.ask(_REST, id=self._run_id, after=self._line_seq))["log"]:
            for line in rest:
                self._line(line)

    def end(self, state: str) -> None:
        """Show how the run has ended, after all else."""
        for task, children in self._children.items():
            counts = ", ".join(f"{count:,} {name}" for name, count in sorted(Counter(children.values()).items()))
            self._print(datetime.now().astimezone(), task, f"{len(children):,} children: {counts}")
        if self._last is not None:
            self._print(_moment(self._last), "flow run", state, self._last["message"], style=_style(state, bold=True))

    def _state(self, one: News) -> None:
        if one["kind"] == "flow_run":
            self._print(_moment(one), "flow run", one["state"], style=_style(one["state"]))
            return
        name, index = self._names.get(one["task_id"], "task"), one["map_index"]
        label = name if index < 0 else f"{name}[{index}]"
        self._labels[one["task_run_id"]] = label
        bad = issubclass(BY_NAME[one["state"]], Failed)
        if index >= 0:
            self._children.setdefault(name, {})[index] = one["state"]
            if not bad and one["state"] != "Retrying":
                return  # thousands of children that go well are one line, when all have ended
        self._print(_moment(one), label, one["state"], one["message"] if bad else "", style=_style(one["state"]))

    def _line(self, line: News) -> None:
        self._line_seq = line["seq"]
        label = self._labels.get(line["task_run_id"] or "", "log")
        self._print(_moment(line), label, line["level"], line["message"], style=_LEVELS.get(line["level"], ""))

    def _print(self, at: datetime, label: str, *parts: str | None, style: str = "") -> None:
        words = "  ".join(printable(part) for part in parts if part)
        text = Text.assemble((f"{at:%H:%M:%S}", "dim"), "  ", (printable(label), "cyan"), "  ", (words, style))
        self._console.print(text, soft_wrap=True)


class _Retrying:
    """Tries again, less and less often, until it has been too long."""

    def __init__(self) -> None:
        self.succeeded()

    def succeeded(self) -> None:
        """Begin to count anew."""
        self._pause, self._began = _SOONEST, time.monotonic()

    async def wait(self, error: ApiError) -> None:
        """Return when it is time to try again. Raises `error` when it is no use any more."""
        if time.monotonic() - self._began > _ENOUGH:
            raise error
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LATEST)


def _style(state: str, *, bold: bool = False) -> str:
    return f"{'bold ' * bold}{BY_NAME[state].color}" if state in BY_NAME else ""


def _moment(one: News) -> datetime:
    return datetime.fromisoformat(one["timestamp"]).astimezone()
