"""`prefectlite get`: lists of what is in the record."""

from __future__ import annotations

from typing import Any

import click

from prefectlite.cli.asking import asking, place
from prefectlite.cli.tables import OUTPUT, age, show
from prefectlite.errors import NotFound

_FLOWS = """query ($where: flow_bool_exp, $limit: Int) {
  flow(where: $where, limit: $limit, order_by: [{name: asc}, {version: desc}]) {
    id name version created project { name } } }"""
_FLOW_RUNS = """query ($where: flow_run_bool_exp, $limit: Int) {
  flow_run(where: $where, limit: $limit, order_by: {created: desc}) {
    id name state state_message created start_time end_time flow { name } } }"""
_PROJECTS = """query ($where: project_bool_exp) { project(where: $where, order_by: {name: asc}) {
    id name description created flows_aggregate(where: {archived: {_eq: false}}) { aggregate { count } } } }"""
_TASKS = """query ($where: task_bool_exp, $limit: Int) {
  task(where: $where, limit: $limit, order_by: [{created: desc}, {name: asc}]) {
    name mapped type created flow { name version } } }"""
_RUN = """query ($where: flow_run_bool_exp) { flow_run(where: $where, order_by: {created: desc}, limit: 1) { id } }"""
_LOGS = """query ($id: uuid!) { log(where: {flow_run_id: {_eq: $id}}, order_by: {seq: asc}) {
    timestamp level name message task_run_id } }"""
_LIMIT = click.option("-l", "--limit", type=click.IntRange(1), default=10, help="At most so many, 10 if not given.")
_PROJECT = click.option("-p", "--project", help="Only of this project.")


@click.group("get")
def command() -> None:
    """List what is in the record: flows, flow runs, projects, tasks, logs."""


@command.command("flows")
@click.option("-n", "--name", help="Only the flow of this name.")
@click.option("-v", "--version", type=int, help="Only this version.")
@_PROJECT
@_LIMIT
@click.option("--all-versions", is_flag=True, help="All versions, not only the newest of each flow.")
@asking
@OUTPUT
def flows(
    name: str | None,
    version: int | None,
    project: str | None,
    limit: int,
    all_versions: bool,
    database: str | None,
    api: str | None,
    output: str,
) -> None:
    """List flows."""
    where: Any = {"name": {"_eq": name}, "version": {"_eq": version}, "project": _of(project)}
    if not all_versions and version is None:
        where["archived"] = {"_eq": False}
    found = place(database, api).ask(_FLOWS, where=_given(where), limit=limit)["flow"]
    rows = [
        (row["name"], row["version"], (row["project"] or {}).get("name"), age(row["created"]), row["id"]) for row in found
    ]
    show(["NAME", "VERSION", "PROJECT NAME", "AGE", "ID"], rows, output)


@command.command("flow-runs")
@_LIMIT
@click.option("-f", "--flow", help="Only runs of the flow of this name.")
@_PROJECT
@click.option("-s", "--started", is_flag=True, help="Only runs that have begun.")
@asking
@OUTPUT
def flow_runs(
    limit: int, flow: str | None, project: str | None, started: bool, database: str | None, api: str | None, output: str
) -> None:
    """List flow runs, the newest first."""
    of_flow = _given({"name": {"_eq": flow}, "project": _of(project)})
    where: Any = {"flow": of_flow, "start_time": {"_is_null": False} if started else None}
    found = place(database, api).ask(_FLOW_RUNS, where=_given(where), limit=limit)["flow_run"]
    rows = [
        (
            row["name"],
            row["flow"]["name"],
            _with_reason(row),
            age(row["created"]),
            row["start_time"],
            row["end_time"],
            row["id"],
        )
        for row in found
    ]
    show(["NAME", "FLOW NAME", "STATE", "AGE", "START TIME", "END TIME", "ID"], rows, output)


@command.command("projects")
@click.option("-n", "--name", help="Only the project of this name.")
@asking
@OUTPUT
def projects(name: str | None, database: str | None, api: str | None, output: str) -> None:
    """List projects."""
    found = place(database, api).ask(_PROJECTS, where=_given({"name": {"_eq": name}}))["project"]
    rows = [
        (row["name"], row["flows_aggregate"]["aggregate"]["count"], age(row["created"]), row["description"]) for row in found
    ]
    show(["NAME", "FLOW COUNT", "AGE", "DESCRIPTION"], rows, output)


@command.command("tasks")
@click.option("-n", "--name", help="Only tasks of this name.")
@click.option("-fn", "--flow-name", help="Only of the flow of this name.")
@click.option("-fv", "--flow-version", type=int, help="Only of this version of the flow.")
@_PROJECT
@_LIMIT
@asking
@OUTPUT
def tasks(
    name: str | None,
    flow_name: str | None,
    flow_version: int | None,
    project: str | None,
    limit: int,
    database: str | None,
    api: str | None,
    output: str,
) -> None:
    """List tasks of flows."""
    flow = _given({"name": {"_eq": flow_name}, "version": {"_eq": flow_version}, "project": _of(project)})
    found = place(database, api).ask(_TASKS, where=_given({"name": {"_eq": name}, "flow": flow}), limit=limit)["task"]
    rows = [
        (row["name"], row["flow"]["name"], row["flow"]["version"], age(row["created"]), row["mapped"], row["type"])
        for row in found
    ]
    show(["NAME", "FLOW NAME", "FLOW VERSION", "AGE", "MAPPED", "TYPE"], rows, output)


@command.command("logs")
@click.option("-n", "--name", help="The newest run of this name.")
@click.option("--id", "run_id", help="The run with this id.")
@click.option("-i", "--info", is_flag=True, help="With the logger and the task run of each line.")
@asking
@OUTPUT
def logs(name: str | None, run_id: str | None, info: bool, database: str | None, api: str | None, output: str) -> None:
    """List the lines that a run has logged."""
    if name is None and run_id is None:
        raise click.UsageError("Say which run: --name or --id")
    where = place(database, api)
    found = where.ask(_RUN, where=_given({"name": {"_eq": name}, "id": {"_eq": run_id}}))["flow_run"]
    if not found:
        raise NotFound(f"There is no flow run {run_id or name!r}")
    lines = where.ask(_LOGS, id=found[0]["id"])["log"]
    rows = [(line["timestamp"], line["level"], line["message"], line["name"], line["task_run_id"]) for line in lines]
    headings = ["TIMESTAMP", "LEVEL", "MESSAGE", "LOGGER", "TASK RUN ID"]
    show(headings if info else headings[:3], rows if info else [row[:3] for row in rows], output)


def _with_reason(row: dict[str, Any]) -> str:
    """The state of a run; of one that is paused, why, and who said so."""
    state: str = row["state"]
    return f"{state} ({row['state_message']})" if state == "Paused" and row["state_message"] else state


def _of(project: str | None) -> dict[str, Any] | None:
    return None if project is None else {"name": {"_eq": project}}


def _given(where: dict[str, Any]) -> dict[str, Any]:
    """A condition without the comparisons for which nothing was given."""
    return {name: value for name, value in where.items() if value and value != {"_eq": None}}
