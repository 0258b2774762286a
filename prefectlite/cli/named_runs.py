"""Runs as people name them: a flow run by its id or name, a task run by its id, or by its task in a flow run."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from prefectlite.cli.asking import Answers
from prefectlite.errors import BadRequest, NotFound
from prefectlite.ids import is_id
from prefectlite.shown import printable
from prefectlite.states import FINISHED

FIND = """query ($where: flow_run_bool_exp) {
  flow_run(where: $where, order_by: {created: desc}, limit: 4) { id name state state_message } }"""
_TASK_RUN = """id map_index state state_message task { name slug }
  states(order_by: {timestamp: desc}, limit: 1) { serialized_state }"""
_ONE = f"query ($id: uuid!) {{ task_run_by_pk(id: $id) {{ {_TASK_RUN} flow_run {{ id name state state_message }} }} }}"
_PAUSED = f"""query ($id: uuid!) {{
  task_run(where: {{flow_run_id: {{_eq: $id}}, state: {{_eq: "Paused"}}}}, order_by: {{created: asc}}, limit: 1000) {{
    {_TASK_RUN} }} }}"""
_NAMED = 5  # so many are listed


class TaskRun(msgspec.Struct, frozen=True):
    """A task run; `wanted` is the JSON schema of what it asks for, if it is paused and does."""

    id: str
    name: str
    slug: str
    map_index: int
    state: str
    message: str | None
    wanted: dict[str, Any] | None

    @property
    def label(self) -> str:
        """As in logs: the task's name, with the child's index."""
        return self.name if self.map_index < 0 else f"{self.name}[{self.map_index}]"

    @property
    def names(self) -> Collection[str]:
        """How it may be called."""
        index = "" if self.map_index < 0 else f"[{self.map_index}]"
        return self.id, f"{self.name}{index}", f"{self.slug}{index}"


class Named(msgspec.Struct, frozen=True):
    """What somebody named: a flow run, or one task run of it."""

    id: str
    name: str
    state: str
    message: str | None
    task_run: TaskRun | None = None


async def run_named(answers: Answers, text: str) -> Named:
    """The run with this id, or this name; of several the one that has not ended. Raises NotFound, and BadRequest."""
    found = (await answers.ask(FIND, where=by_id_or_name(text)))["flow_run"]
    if not found and is_id(text) and (one := (await answers.ask(_ONE, id=text.lower()))["task_run_by_pk"]) is not None:
        return _named(one["flow_run"], _task_run(one))
    return _named(the_one(found, text))


async def paused_tasks(answers: Answers, flow_run_id: str) -> list[TaskRun]:
    """The task runs of a flow run that are paused themselves."""
    return [_task_run(row) for row in (await answers.ask(_PAUSED, id=flow_run_id))["task_run"]]


def by_id_or_name(text: str) -> dict[str, Any]:
    """The condition for the flow runs that are called this."""
    return {"id": {"_eq": text.lower()}} if is_id(text) else {"name": {"_eq": text}}


def the_one(found: list[dict[str, Any]], text: str) -> dict[str, Any]:
    """Of the runs called `text`, the newest, or the only one that has not ended. Raises NotFound, and BadRequest."""
    if not found:
        raise NotFound(f"There is no flow run {text!r}")
    going = [run for run in found if run["state"] not in FINISHED]
    if len(going) > 1:
        ids = ", ".join(run["id"] for run in going)
        raise BadRequest(f"Several flow runs are called {text!r}: give the id of one, such as {ids}")
    return (going or found)[0]


def chosen(paused: list[TaskRun], name: str | None, run: str) -> TaskRun:
    """The one of the task runs that is called `name`, or the only one. Raises NotFound, and BadRequest."""
    meant = paused if name is None else [one for one in paused if name in one.names]
    if len(meant) == 1:
        return meant[0]
    told = ", ".join(printable(one.label) for one in paused[:_NAMED]) + (", …" if len(paused) > _NAMED else "")
    if name is None and paused:
        raise BadRequest(f"Several tasks of flow run {run!r} are paused: say which with --task ({told})")
    if meant:
        raise BadRequest(
            f"Several task runs of flow run {run!r} are called {name!r}: give the id of one, such as {meant[0].id}"
        )
    which = "has no task that is paused" if name is None else f"has no paused task {name!r}"
    raise NotFound(f"Flow run {run!r} {which}" + (f": there are {told}" if paused else ""))


def _named(row: dict[str, Any], task_run: TaskRun | None = None) -> Named:
    return Named(row["id"], row["name"], row["state"], row["state_message"], task_run)


def _task_run(row: dict[str, Any]) -> TaskRun:
    document = row["states"][0]["serialized_state"] if row["states"] else {}
    pause = ((document or {}).get("context") or {}).get("pause") or {}
    wanted, task = pause.get("input"), row["task"]
    return TaskRun(row["id"], task["name"], task["slug"], row["map_index"], row["state"], row["state_message"], wanted)
