"""What tests of the language look at in a flow, by slugs."""

from __future__ import annotations

from typing import Any

from prefectlite import Flow, FlowRun
from prefectlite.language.graph import Graph
from prefectlite.states import State


def edges(graph: Graph) -> set[tuple[str, str, str | None]]:
    """(upstream, downstream, key) of every edge; mapped ones have a * behind the upstream, flattened ones two."""
    return {
        (graph.slugs[e.upstream_task] + "*" * (e.mapped + e.flattened), graph.slugs[e.downstream_task], e.key)
        for e in graph.edges
    }


def constants(graph: Graph) -> dict[str, dict[str, Any]]:
    return {graph.slugs[task]: values for task, values in graph.constants.items() if values}


def ends(flow: Flow, run: FlowRun) -> dict[str, State]:
    """The state of every task of a finished run."""
    return {flow.slugs[task]: state for task, state in run.result.items()}


def results(flow: Flow, run: FlowRun) -> dict[str, Any]:
    return {slug: state.result for slug, state in ends(flow, run).items()}
