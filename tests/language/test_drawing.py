from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import graphviz
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefectlite import Flow, Parameter, Task, task, unmapped
from prefectlite.language.drawing import to_graphviz, to_mermaid, to_text, visualize
from prefectlite.states import Failed, Mapped, Pending, Skipped, State, Success, TriggerFailed


@task
def numbers() -> list[int]:
    return [1, 2, 3]


@task
def plus(x: int, y: int = 1) -> int:
    return x + y


@task
def add_up(values: list[int]) -> int:
    return sum(values)


def a_flow() -> Flow:
    with Flow("sums") as flow:
        add_up(plus.map(numbers(), y=unmapped(Parameter("y", default=2)())))
    return flow


def test_mermaid() -> None:
    assert to_mermaid(a_flow()).splitlines() == [
        "flowchart TD",
        '    n0(["numbers"])',
        '    n1(["y"])',
        '    n2["plus #60;map#62;"]',
        '    n3(["add_up"])',
        '    n0 -.->|"x"| n2',
        '    n1 -->|"y"| n2',
        '    n2 -->|"values"| n3',
    ]
    assert to_mermaid(a_flow(), horizontal=True).startswith("flowchart LR\n")


def test_a_run_has_colours_and_children() -> None:
    flow = a_flow()
    run = flow.run()
    for states in (run, run.state, run.result):
        drawn = to_mermaid(flow, states)
        assert drawn.count("fill:#28a74580") == 6
        assert drawn.count('["plus #60;map#62;"]') == 3
        assert drawn.count("-.->") == 3
    source = to_graphviz(flow, run).source
    assert source.count('[label="plus <map>" color="#28a74580" colorscheme=svg shape=box style=filled]') == 3
    assert source.count("[label=x style=dashed]") == 3
    assert source.count("[label=values]") == 3


def colours(drawn: str) -> list[str]:
    return re.findall(r"fill:(\S+)", drawn)


def test_states_of_every_kind() -> None:
    flow = a_flow()
    y, (plus_,), (sum_,) = (flow.get_tasks(name=name) for name in ("y", "plus", "add_up"))
    mapped = Mapped(map_states=[Success(), None, Failed()])
    drawn = to_mermaid(flow, {y[0]: Pending(), plus_: mapped, sum_: TriggerFailed()})
    assert set(colours(drawn)) == {f"{state.color}80" for state in (Pending, Success, State, Failed, TriggerFailed)}
    drawn = to_mermaid(flow, {plus_: Skipped()})
    assert drawn.count('["plus') == 1  # skipped as a whole: it has no children
    drawn = to_mermaid(flow, {plus_: Mapped(map_states=[])})
    assert drawn.count('["plus') == 0


@pytest.mark.parametrize("states", [3, "x", Success("no result"), Success(result=[1])])
def test_what_is_no_run(states: Any) -> None:
    with pytest.raises(TypeError, match="To draw a run, give its final state"):
        to_mermaid(a_flow(), states)


def test_mapped_chains_keep_to_their_lane_and_flattened_ones_cannot() -> None:
    with Flow("chains") as flow:
        first = plus.map(numbers())
        plus.map(first)
        flow.add_edge(first, add_up.copy(), "values", mapped=True, flattened=True)
    states: dict[Task, State] = {}
    for one in flow.tasks:
        mapped = any(edge.mapped for edge in flow.edges_to(one))
        states[one] = Mapped(map_states=[Success(), Success()]) if mapped else Success()
    drawn = to_mermaid(flow, states)
    assert drawn.count("-.->") == 2 + 2 + 4


NASTY = [
    'a"]; evil',
    "<b>x</b>",
    "<lambda>",
    "end",
    "1. list",
    "- list",
    "a\nb",
    "x --> y",
    "\\N",
    "`md`",
    "é 流",
    "a:b",
    "%%",
]


@pytest.mark.parametrize("name", NASTY)
def test_names_are_only_names(name: str) -> None:
    with Flow("nasty") as flow:
        plus.copy(name=name).bind(1)
    drawn = to_mermaid(flow)
    assert len(drawn.splitlines()) == 2
    label = re.fullmatch(r'    n0\(\["([^"]*)"\]\)', drawn.splitlines()[1])
    assert label is not None
    assert re.sub(r"#(\d+);", lambda number: chr(int(number[1])), label[1]) == name
    source = to_graphviz(flow).source
    assert re.fullmatch(r'digraph \{\n\tn0 \[label=(\w+|"(?:[^"\\]|\\.)*") shape=ellipse\]\n\}\n', source)


def test_graphviz() -> None:
    drawing = to_graphviz(a_flow(), horizontal=True)
    assert isinstance(drawing, graphviz.Digraph)
    assert "rankdir=LR" in drawing.source
    assert '[label="plus <map>" shape=box]' in drawing.source
    assert "rankdir" not in to_graphviz(a_flow()).source


def test_text() -> None:
    with Flow("daily load") as flow:
        y = Parameter("y")()
        parts = plus.map(numbers(), y=unmapped(y))
        add_up(parts)
        plus(y)
    assert to_text(flow).splitlines() == [
        "daily load",
        "y",
        "├── plus-1 <map>",
        "│   └── add_up",
        "└── plus-2",
        "numbers",
        "└── plus-1 <map> …",
    ]
    assert to_text(Flow("empty")) == "empty\n"


def test_text_shows_odd_names_in_one_line() -> None:
    with Flow("odd") as flow:
        plus.copy(name="a\nb\x1b[31m").bind(1)
    assert to_text(flow) == "odd\na\\nb\\x1b[31m\n"


def test_long_chains_and_cycles_are_drawn_as_text() -> None:
    with Flow("long") as flow:
        last = numbers()
        for _ in range(3_000):
            last = add_up(last)
    lines = to_text(flow).splitlines()
    assert max(map(len, lines)) < 150
    assert len({line.strip("│├└─ …") for line in lines}) == 3_002
    with Flow("cycle") as flow:
        one, other = numbers(), numbers()
        flow.add_edge(one, other)
        flow.add_edge(other, one)
    assert to_text(flow) == "cycle\nnumbers-1\n└── numbers-2\n    └── numbers-1 …\n"
    assert to_mermaid(flow).count("-->") == 2


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_every_task_is_in_the_tree_with_what_waits_for_it(pairs: list[tuple[int, int]]) -> None:
    flow = Flow("random")
    tasks = [flow.add_task(Task(name=f"t{number}")) for number in range(10)]
    for low, high in pairs:
        if low < high:
            flow.add_edge(tasks[low], tasks[high])
    lines = to_text(flow).splitlines()[1:]
    for number, one in enumerate(tasks):
        shown = [line for line in lines if line.strip("│├└─ ").split(" ")[0] == f"t{number}"]
        assert len(shown) == max(len(flow.upstream_tasks(one)), 1)
        assert sum(not line.endswith("…") for line in shown) == (1 if flow.downstream_tasks(one) else len(shown))


# -- visualize ----------------------------------------------------------------------------------------------------------


class Notebook:
    config = {"IPKernelApp": {}}


def test_in_a_notebook_it_is_shown_there(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("IPython")
    module.get_ipython = Notebook  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", module)
    assert visualize(a_flow(), horizontal=True).source == to_graphviz(a_flow(), horizontal=True).source


@pytest.fixture
def dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `dot` that writes down how it was called."""
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@" > "$(dirname "$0")/calls"\nexec touch "$(dirname "$0")/drawn"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program.parent


def test_it_is_written_to_a_file(dot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flow = a_flow()
    visualize(flow, filename="picture")
    assert (dot / "calls").read_text().split()[:3] == ["-Kdot", "-Tpdf", "-O"]
    visualize(flow, flow.run(), filename="picture", format="svg", horizontal=True)
    assert (dot / "calls").read_text().split() == ["-Kdot", "-Tsvg", "-O", "picture"]
    assert not (tmp_path / "picture").exists()  # the text is taken away


@pytest.mark.parametrize("filename", ["picture", None])
def test_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filename: str | None) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(graphviz.ExecutableNotFound, match="It appears you do not have Graphviz installed"):
        visualize(a_flow(), filename=filename)


@pytest.mark.parametrize("draw", [to_graphviz, visualize])
def test_without_the_package(draw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(ImportError, match=r"This feature requires graphviz\.\n.*`pip install 'prefectlite\[viz\]'`"):
        draw(a_flow())
