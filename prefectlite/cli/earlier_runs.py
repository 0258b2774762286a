"""Runs that are in the record, with their code, to go on with."""

from __future__ import annotations

import asyncio

from prefectlite.cli.execution import Begun
from prefectlite.errors import FlowSourceMissing
from prefectlite.language.graph import Graph
from prefectlite.records import FlowRow, FlowRunRow
from prefectlite.repository import runs
from prefectlite.secrets import make_known
from prefectlite.session import Session
from prefectlite.storage.source import load_flow, source_from_argument, source_from_record

make_known()  # repositories of code may need a token

#: For the help of commands that take the argument FLOW.
FLOW_HELP = "FLOW is where its code is now, if it was moved: flow.py, flow.py:name, package.module or package.module:name."


async def interrupted_run_of(graph: Graph, session: Session) -> Begun | None:
    """The newest run of a script's flow whose process is gone, if there is one of the flow as it is now."""
    for row in await runs.interrupted_runs(session.database, graph.name):
        if row.owner is not None and await session.is_gone(row.owner):
            flow = await session.flow(row.flow_id)
            _check_same(graph, flow, row)
            return Begun(graph, flow, row, takeover_from=row.owner)
    return None


async def with_code(row: FlowRunRow, argument: str | None, session: Session) -> Begun:
    """The run with its flow, loaded from where `argument` says, or else the record. Raises FlowLoadError."""
    flow = await session.flow(row.flow_id)
    place = flow.storage or flow.source
    if argument is None and place is None:
        raise FlowSourceMissing(f"Nobody knows where the code of flow {flow.name!r} is: name its file after the run")
    source = source_from_record(place) if argument is None and place else source_from_argument(argument or "")
    graph = await asyncio.to_thread(load_flow, source)
    _check_same(graph, flow, row)
    return Begun(graph, flow, row, takeover_from=row.owner)


def _check_same(graph: Graph, flow: FlowRow, run: FlowRunRow) -> None:
    if different := sorted(set(graph.slugs.values()) ^ set(flow.task_ids)):
        raise FlowSourceMissing(
            f"Flow {graph.name!r} is not as it was when run {run.name!r} began: they differ in the tasks"
            f" {', '.join(different[:5])}. Run it anew"
        )
