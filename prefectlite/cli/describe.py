"""`prefectlite describe`: all that the record says of one thing, as JSON or YAML."""

from __future__ import annotations

from typing import Any

import click

from prefectlite.cli.asking import asking, place
from prefectlite.cli.tables import show_data
from prefectlite.errors import NotFound

_FLOW = """name version project { name } created description parameters archived storage environment run_config schedule
  is_schedule_active id"""
_TASK = "name slug description type max_retries retry_delay timeout trigger mapped tags created id"
_FLOWS = f"""query ($where: flow_bool_exp) {{ flow(where: $where, order_by: {{version: desc}}, limit: 1) {{
  {_FLOW} tasks(order_by: {{slug: asc}}) {{ {_TASK} }} }} }}"""
_RUN = """query ($where: flow_run_bool_exp) { flow_run(where: $where, order_by: {created: desc}, limit: 1) {
  name flow { name } created parameters context labels auto_scheduled scheduled_start_time start_time end_time state
  state_message id
  task_runs(order_by: {created: asc}) { name map_index task { name slug } state start_time end_time } } }"""
_OUTPUT = click.option("-o", "--output", type=click.Choice(["json", "yaml"]), default="json", help="How it is shown.")
_VERSION = click.option("-v", "--version", type=int, help="This version, not the newest.")
_PROJECT = click.option("-p", "--project", help="The flow of this project.")
_NAME = click.option("-n", "--name", "named", help="The same as NAME.")


@click.group("describe")
def command() -> None:
    """Show all that the record says of a flow, its tasks, or a flow run, as JSON or YAML."""


@command.command("flows")
@click.argument("name", required=False)
@_NAME
@_VERSION
@_PROJECT
@_OUTPUT
@asking
def flows(
    name: str | None,
    named: str | None,
    version: int | None,
    project: str | None,
    output: str,
    database: str | None,
    api: str | None,
) -> None:
    """Describe the flow NAME."""
    flow = _flow(_name(name, named), version, project, database, api)
    del flow["tasks"]
    show_data(flow, output)


@command.command("tasks")
@click.argument("name", required=False)
@_NAME
@_VERSION
@_PROJECT
@_OUTPUT
@asking
def tasks(
    name: str | None,
    named: str | None,
    version: int | None,
    project: str | None,
    output: str,
    database: str | None,
    api: str | None,
) -> None:
    """Describe the tasks of the flow NAME."""
    show_data(_flow(_name(name, named), version, project, database, api)["tasks"], output)


@command.command("flow-runs")
@click.argument("name", required=False)
@_NAME
@click.option("-fn", "--flow-name", help="The run of the flow of this name.")
@_OUTPUT
@asking
def flow_runs(
    name: str | None, named: str | None, flow_name: str | None, output: str, database: str | None, api: str | None
) -> None:
    """Describe the newest flow run called NAME."""
    where: Any = {"name": {"_eq": _name(name, named)}}
    if flow_name is not None:
        where["flow"] = {"name": {"_eq": flow_name}}
    found = place(database, api).ask(_RUN, where=where)["flow_run"]
    if not found:
        raise NotFound(f"There is no flow run {name or named!r}")
    show_data(found[0], output)


def _name(name: str | None, named: str | None) -> str:
    if (chosen := name or named) is None:
        raise click.UsageError("Missing argument 'NAME'.")
    return chosen


def _flow(name: str, version: int | None, project: str | None, database: str | None, api: str | None) -> dict[str, Any]:
    where: Any = {"name": {"_eq": name}}
    if version is not None:
        where["version"] = {"_eq": version}
    if project is not None:
        where["project"] = {"name": {"_eq": project}}
    found = place(database, api).ask(_FLOWS, where=where)["flow"]
    if not found:
        raise NotFound(f"There is no flow {name!r}")
    flow: dict[str, Any] = found[0]
    return flow
