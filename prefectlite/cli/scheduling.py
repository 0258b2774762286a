"""`prefectlite run --name …`: asking for a run of a registered flow, which an agent executes."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click
import msgspec
from rich.console import Console

from prefectlite.cli.asking import Answers, Place
from prefectlite.cli.following import follow
from prefectlite.cli.output import patient_stdout
from prefectlite.errors import BadRequest, NotFound
from prefectlite.ids import is_id
from prefectlite.shown import printable

_FLOW = """query ($where: flow_bool_exp) {
  flow(where: $where, order_by: {version: desc}, limit: 20) { id name version archived project { name } } }"""
_CREATE = "mutation ($input: create_flow_run_input!) { create_flow_run(input: $input) { id } }"
_CREATED = "query ($id: uuid!) { flow_run_by_pk(id: $id) { id name labels parameters context } }"


class Wanted(msgspec.Struct, frozen=True):
    """The run that the command line asks for."""

    flow_id: str | None
    name: str | None
    project: str | None
    run_name: str | None
    parameters: dict[str, Any]
    context: dict[str, Any]
    labels: tuple[str, ...]
    idempotency_key: str | None
    watch: bool
    quiet: bool
    with_log: bool

    def input(self, flow_id: str) -> dict[str, Any]:
        """What a server is asked for."""
        given = {
            "parameters": self.parameters,
            "context": self.context,
            "labels": list(self.labels),
            "flow_run_name": self.run_name,
            "idempotency_key": self.idempotency_key,
        }
        return {"flow_id": flow_id, **{name: value for name, value in given.items() if value}}


def schedule_run(wanted: Wanted, place: Place) -> None:
    """Have a run made, and follow it if asked to. Leaves with 1 if it is followed and fails, with 130 if it is cancelled."""
    with patient_stdout():
        state = asyncio.run(_scheduled(wanted, place))
    if state is not None and state not in ("Success", "Cached", "Skipped", "Mapped"):
        sys.exit(130 if state == "Cancelled" else 1)


async def _scheduled(wanted: Wanted, place: Place) -> str | None:
    console = Console(highlight=False, emoji=False)
    async with place.open() as answers:
        run = await make_run(wanted, await flow_id_of(wanted, answers), answers)
        if wanted.quiet:
            click.echo(run["id"])
        else:
            tell(run)
        if not wanted.watch:
            return None
        try:
            return await follow(answers, run["id"], console, with_log=wanted.with_log)
        except asyncio.CancelledError:
            click.echo(f"The run goes on: `prefectlite cancel {printable(run['name'])}` stops it", err=True)
            raise


async def make_run(wanted: Wanted, flow_id: str, answers: Answers, **more: Any) -> dict[str, Any]:
    """A new run of this flow, or the one that there is with the same key: its id, name, labels, parameters and context."""
    made = await answers.ask(_CREATE, input={**wanted.input(flow_id), **more})
    run: dict[str, Any] = (await answers.ask(_CREATED, id=made["create_flow_run"]["id"]))["flow_run_by_pk"]
    return run


def tell(run: dict[str, Any]) -> None:
    """Say what a run is called, and what it was given."""
    click.echo(f"Flow run {printable(run['name'])}")
    told = {name: msgspec.json.encode(run[name]).decode() for name in ("parameters", "context", "labels") if run[name]}
    for name, value in {"id": run["id"], **told}.items():
        click.echo(f"  {name:<10}  {printable(value)}")


async def flow_id_of(wanted: Wanted, answers: Answers) -> str:
    """The id of the newest version of the flow that is meant. Raises NotFound, and BadRequest where it is not clear."""
    if wanted.flow_id is not None:
        if not is_id(wanted.flow_id):
            raise BadRequest(f"--id {wanted.flow_id}: this is no id")
        either = [{"id": {"_eq": wanted.flow_id}}, {"flow_group_id": {"_eq": wanted.flow_id}}]
        where: dict[str, Any] = {"_or": either}
        told = f"with the id {wanted.flow_id}"
    else:
        where = {"name": {"_eq": wanted.name}, "archived": {"_eq": False}}
        told = repr(wanted.name)
        if wanted.project is not None:
            where["project"] = {"name": {"_eq": wanted.project}}
            told += f" in project {wanted.project!r}"
        else:
            where["project_id"] = {"_is_null": False}
    found = (await answers.ask(_FLOW, where=where))["flow"]
    if not found:
        raise NotFound(f"There is no flow {told}: register it first")
    if wanted.flow_id is None and len(found) > 1:
        projects = ", ".join(sorted((flow["project"] or {}).get("name", "none") for flow in found))
        raise BadRequest(f"Several projects have a flow {told}: say which with --project ({projects})")
    exact = [flow for flow in found if flow["id"] == wanted.flow_id]
    return str((exact or found)[0]["id"])
