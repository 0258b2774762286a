"""Pictures of a flow: as text, as Mermaid, with Graphviz; of a run where the states of its tasks are given."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from prefectlite.language.graph import Edge, Graph
from prefectlite.language.task import Task
from prefectlite.states import Mapped, State

#: How far the tree as text goes to the right before it begins anew at the margin.
_DEEPEST = 24
_HALF_OPAQUE = "80"


class _Node(NamedTuple):
    id: str
    label: str
    is_mapped: bool
    color: str | None


class _Line(NamedTuple):
    tail: str
    head: str
    label: str
    is_mapped: bool


class _Picture:
    """What there is to draw: a node per task, and where the state of a run is known, one per child of a mapped task."""

    def __init__(self, graph: Graph, states: Any) -> None:
        ends = _states_of(states)
        self.nodes: list[_Node] = []
        self.lines: list[_Line] = []
        ids: dict[Task, list[str]] = {}
        for number, task in enumerate(graph.slugs):
            is_mapped = _is_mapped(graph, task)
            label = f"{task.name} <map>" if is_mapped else task.name
            colors: list[str | None] = [None] if ends is None else _colors(ends.get(task))
            single = len(colors) == 1 and not (ends is not None and isinstance(ends.get(task), Mapped))
            ids[task] = [f"n{number}" if single else f"n{number}_{index}" for index in range(len(colors))]
            for id, color in zip(ids[task], colors, strict=True):
                self.nodes.append(_Node(id, label, is_mapped, color))
        for task in graph.slugs:
            for edge in graph.incoming(task):
                for tail, head in _ends_of(edge, ids[edge.upstream_task], ids[task], _is_mapped(graph, edge.upstream_task)):
                    self.lines.append(_Line(tail, head, edge.key or "", edge.mapped))


def _states_of(states: Any) -> Mapping[Task, State] | None:
    if states is None:
        return None
    found = states if isinstance(states, Mapping) else getattr(states, "result", None)
    if not isinstance(found, Mapping):
        raise TypeError(f"To draw a run, give its final state, its FlowRun or {{task: state}}, not {states!r}")
    return found


def _is_mapped(graph: Graph, task: Task) -> bool:
    return any(edge.mapped for edge in graph.incoming(task))


def _colors(state: State | None) -> list[str | None]:
    states: list[State | None] = state.map_states if isinstance(state, Mapped) else [state]
    return [(State.color if one is None else one.color) + _HALF_OPAQUE for one in states]


def _ends_of(edge: Edge, tails: list[str], heads: list[str], from_mapped: bool) -> Iterator[tuple[str, str]]:
    if edge.mapped and from_mapped and not edge.flattened:
        yield from zip(tails, heads, strict=False)
    else:  # flattened: which child has its element from where is not known any more
        yield from ((tail, head) for head in heads for tail in tails)


# -- Mermaid ---------------------------------------------------------------------------------------------------------------


def to_mermaid(graph: Graph, states: Any = None, *, horizontal: bool = False) -> str:
    """The flow as a Mermaid flowchart, for Markdown and web pages; mapped tasks are boxes with dashed lines to them.

    `states`: a run's final state, its FlowRun or `{task: state}`, to draw the run: coloured, with a node per mapped child.
    """
    picture = _Picture(graph, states)
    lines = [f"flowchart {'LR' if horizontal else 'TD'}"]
    for node in picture.nodes:
        opening, closing = ("[", "]") if node.is_mapped else ("([", "])")
        lines.append(f'    {node.id}{opening}"{_for_mermaid(node.label)}"{closing}')
    for line in picture.lines:
        arrow = "-.->" if line.is_mapped else "-->"
        label = f'|"{_for_mermaid(line.label)}"|' if line.label else ""
        lines.append(f"    {line.tail} {arrow}{label} {line.head}")
    lines.extend(f"    style {node.id} fill:{node.color}" for node in picture.nodes if node.color)
    return "\n".join(lines) + "\n"


def _for_mermaid(text: str) -> str:
    # Every character that could mean something to Mermaid, to Markdown inside it or to HTML becomes its number.
    return "".join(
        one if one.isalnum() or one in " _" or (one == "-" and place) else f"#{ord(one)};" for place, one in enumerate(text)
    )


# -- text ------------------------------------------------------------------------------------------------------------------


def to_text(graph: Graph) -> str:
    """The flow as a tree: below each task the ones that wait for it.

    Those that wait for several stand below each, and what waits for them only below the first; `…` says that there is more
    elsewhere. Tasks with the same name are shown by their slug.
    """
    count = Counter(task.name for task in graph.slugs)
    labels, below = {}, defaultdict[Task, dict[Task, None]](dict)
    for task, slug in graph.slugs.items():
        labels[task] = _printable(task.name if count[task.name] == 1 else slug)
        labels[task] += " <map>" if _is_mapped(graph, task) else ""
        for edge in graph.incoming(task):
            below[edge.upstream_task][task] = None
    return "\n".join([_printable(graph.name), *_tree(graph, labels, below)]) + "\n"


def _tree(graph: Graph, labels: dict[Task, str], below: Mapping[Task, dict[Task, None]]) -> Iterator[str]:
    seen: set[Task] = set()
    # After the roots come those that were too deep, and what is in cycles, which nothing leads to.
    margin = deque([*(task for task in graph.slugs if not graph.incoming(task)), *graph.slugs])
    while margin:
        root = margin.popleft()
        if root in seen:
            continue
        todo = [(root, "", "", 0)]
        while todo:
            task, indent, branch, depth = todo.pop()
            followers = list(below.get(task, ()))
            elsewhere = bool(followers) and (task in seen or depth == _DEEPEST)
            yield f"{indent}{branch}{labels[task]}{' …' if elsewhere else ''}"
            if elsewhere:
                margin.appendleft(task)  # passed over where it has been shown already
                continue
            seen.add(task)
            inner = indent + {"": "", "├── ": "│   ", "└── ": "    "}[branch]
            for place, follower in enumerate(reversed(followers)):
                todo.append((follower, inner, "├── " if place else "└── ", depth + 1))


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


# -- Graphviz --------------------------------------------------------------------------------------------------------------


def to_graphviz(graph: Graph, states: Any = None, *, horizontal: bool = False) -> Any:
    """The flow as a `graphviz.Digraph`; `states` as for `to_mermaid`. Raises ImportError without the package graphviz."""
    try:
        graphviz = importlib.import_module("graphviz")
    except ImportError as error:
        raise ImportError(
            "This feature requires graphviz.\nTry re-installing prefectlite with `pip install 'prefectlite[viz]'`"
        ) from error
    picture = _Picture(graph, states)
    drawing = graphviz.Digraph(graph_attr={"rankdir": "LR"} if horizontal else None)
    for node in picture.nodes:
        look = {"shape": "box" if node.is_mapped else "ellipse"}
        if node.color:
            look |= {"color": node.color, "colorscheme": "svg", "style": "filled"}
        # Escaped: a name in angle brackets, such as that of a lambda, would be taken for HTML.
        drawing.node(node.id, graphviz.escape(node.label), **look)
    for line in picture.lines:
        style = {"style": "dashed"} if line.is_mapped else {}
        drawing.edge(line.tail, line.head, line.label or None, **style)
    return drawing


def visualize(
    graph: Graph,
    flow_state: Any = None,
    filename: str | None = None,
    format: str | None = None,
    horizontal: bool = False,
) -> Any:
    """The flow drawn by Graphviz, or the run whose final state or FlowRun `flow_state` is.

    With `filename` it is written there, as `format` (pdf), whose name is appended; in a notebook it is shown there; else a
    viewer is opened. Raises ImportError without the package graphviz, and its ExecutableNotFound without the program `dot`.
    """
    drawing = to_graphviz(graph, flow_state, horizontal=horizontal)
    try:
        if filename:
            drawing.render(filename, view=False, format=format, cleanup=True)
        elif not _in_a_notebook():
            with tempfile.NamedTemporaryFile(delete=False) as file:
                pass
            drawing.render(file.name, view=True, format=format)
            Path(file.name).unlink(missing_ok=True)  # the text; the picture stays for the viewer
    except importlib.import_module("graphviz").ExecutableNotFound as error:
        error.args = (
            f"{error}\nIt appears you do not have Graphviz installed, or it is not on your PATH. Please install Graphviz"
            " from https://www.graphviz.org/download/. Installing the `graphviz` python package alone is not sufficient.",
        )
        raise
    return drawing


def _in_a_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config
