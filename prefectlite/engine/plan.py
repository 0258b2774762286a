"""A graph laid out for execution: who waits for whom, and for what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from prefectlite.language.executor import Executor
from prefectlite.language.graph import Edge, Graph
from prefectlite.language.task import Task


class Node:
    """One task of a graph with what the engine asks about it again and again."""

    __slots__ = (
        "constants",
        "edges",
        "executor",
        "is_mapped",
        "is_resource",
        "on_expanded",
        "on_settled",
        "slug",
        "task",
        "task_id",
        "timeout",
        "values",
        "waits_for",
    )

    def __init__(self, task: Task, slug: str, task_id: str, edges: list[Edge], constants: dict[str, Any]) -> None:
        self.task, self.slug, self.task_id, self.edges, self.constants = task, slug, task_id, tuple(edges), constants
        self.is_mapped = any(edge.mapped for edge in edges)
        self.is_resource = task.is_resource_setup or task.is_resource_cleanup
        self.executor = task.executor
        self.timeout = task.timeout
        self.values: dict[str, Any] = {}  # of `prefectlite.context`, for this task alone
        self.waits_for = len(edges)
        self.on_settled: Sequence[Node] = ()  # nodes one of whose edges wait for the end of this one, children included
        self.on_expanded: Sequence[Node] = ()  # nodes whose children wait for this one's children, each for its own


class Plan:
    """The nodes of a graph, each after those it waits for."""

    def __init__(
        self, graph: Graph, task_ids: dict[str, str], task_values: Mapping[Task, dict[str, Any]], executor: Executor | None
    ) -> None:
        self.nodes: dict[Task, Node] = {}
        settled: defaultdict[Task, list[Node]] = defaultdict(list)
        expanded: defaultdict[Task, list[Node]] = defaultdict(list)
        for task in graph.sorted_tasks():
            slug = graph.slugs[task]
            edges = graph.incoming(task)
            node = Node(task, slug, task_ids[slug], edges, graph.constants.get(task, {}))
            node.values = task_values.get(task, node.values)
            node.executor = task.executor or executor
            self.nodes[task] = node
            for edge in edges:
                child_by_child = edge.mapped and not edge.flattened and self.nodes[edge.upstream_task].is_mapped
                (expanded if child_by_child else settled)[edge.upstream_task].append(node)
        for task, nodes in settled.items():
            self.nodes[task].on_settled = nodes
        for task, nodes in expanded.items():
            self.nodes[task].on_expanded = nodes
        self.reference_tasks, self.terminal_tasks = graph.reference_tasks(), graph.terminal_tasks()
