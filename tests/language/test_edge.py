from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import pytest

from prefectlite import Flow, Task, mapped, unmapped
from prefectlite.errors import FlowError
from prefectlite.language.collections import Constant, List
from prefectlite.language.edge import Edge
from prefectlite.language.mapping import flatten


class Step(Task):
    def run(self, **inputs: Any) -> None:
        return None


a, b = Step("a"), Step("b")


def test_an_edge() -> None:
    edge = Edge(a, b)
    assert (edge.upstream_task, edge.downstream_task, edge.key, edge.mapped, edge.flattened) == (a, b, None, False, False)
    assert edge.tasks == {a, b}


def test_edges_are_equal_when_all_of_them_is() -> None:
    variants = [
        Edge(a, b),
        Edge(b, a),
        Edge(a, b, "x"),
        Edge(a, b, "y"),
        Edge(a, b, "x", True),
        Edge(a, b, "x", False, True),
    ]
    assert len(set(variants)) == len(variants)
    assert Edge(a, b, "x") == Edge(a, b, "x")
    assert Edge(a, b, "x", mapped=None, flattened=None) == Edge(a, b, "x", mapped=False, flattened=False)
    assert hash(Edge(a, b, "x")) == hash(Edge(a, b, "x"))
    assert Edge(a, b) != "edge"


def test_what_it_shows() -> None:
    assert repr(Edge(a, b)) == "<Edge(key=None, mapped=False, flattened=False): a to b>"
    assert repr(Edge(a, b, "x", True, True)) == "<Edge(key=x, mapped=True, flattened=True): a to b>"


@pytest.mark.parametrize("both", [a, 1, None])
def test_no_task_waits_for_itself(both: Any) -> None:
    with pytest.raises(FlowError, match=r"^Edges can not connect a task to itself\."):
        Edge(both, both)


@pytest.mark.parametrize("key", ["", "1x", "a-b", "class", "None", "a b", 5])
def test_a_key_is_an_argument_name(key: Any) -> None:
    with pytest.raises(FlowError, match=rf'^Key must be a valid identifier \(received "{key}"\)$'):
        Edge(a, b, key=key)
    assert Edge(a, b, key="_x1").key == "_x1"


@pytest.mark.parametrize(
    ("upstream", "downstream", "mapped_argument", "is_mapped", "is_flattened"),
    [
        (mapped(a), b, None, True, False),
        (mapped(a), b, False, True, False),
        (unmapped(a), b, True, False, False),
        (a, mapped(b), None, True, False),
        (flatten(a), b, None, False, True),
        (flatten(mapped(a)), b, None, True, True),
        (flatten(a), b, True, True, True),
        (unmapped(mapped(a)), b, None, True, False),
    ],
)
def test_annotations_win(
    upstream: Any, downstream: Any, mapped_argument: bool | None, is_mapped: bool, is_flattened: bool
) -> None:
    edge = Edge(upstream, downstream, mapped=mapped_argument)
    assert (edge.upstream_task, edge.downstream_task, edge.mapped, edge.flattened) == (a, b, is_mapped, is_flattened)


def test_values_become_tasks() -> None:
    assert isinstance(Edge(5, b).upstream_task, Constant)
    assert isinstance(Edge(mapped(5), b).upstream_task, Constant)
    flow = Flow("f")
    assert isinstance(Edge([a], b, flow=flow).upstream_task, List)
    assert a in flow.tasks
    with pytest.raises(FlowError, match="Could not infer an active Flow context"):
        Edge([a], b)


def test_it_survives_pickle() -> None:
    restored = pickle.loads(cloudpickle.dumps(Edge(a, b, "x", True)))
    assert restored == Edge(restored.upstream_task, restored.downstream_task, "x", True)
