from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite import Flow, Task, task
from prefectlite.errors import DuplicateSlugError
from prefectlite.language.graph import Graph


class Step(Task):
    pass


def test_slugs_count_per_name_and_tags() -> None:
    graph = Graph("g")
    tasks = [Step("a"), Step("a"), Step("b"), Step("a", tags={"y", "x"}), Step("a", slug="a-3"), Step("a")]
    for each in tasks:
        graph.add_task(each)
    assert list(graph.slugs.values()) == ["a-1", "a-2", "b-1", "a-x-y-1", "a-3", "a-4"]
    assert len(set(graph.slugs.values())) == len(tasks)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "a-1", "b"]), st.sampled_from([None, "a-1", "a-2", "a-1-1"])), max_size=8))
def test_slugs_never_meet(made: list[tuple[str, str | None]]) -> None:
    graph = Graph("g")
    for name, slug in made:
        try:
            graph.add_task(Step(name, slug=slug))
        except DuplicateSlugError:
            assert slug in graph.slugs.values()
    assert len(set(graph.slugs.values())) == len(graph.tasks)


def test_a_slug_is_taken_once() -> None:
    graph = Graph("g")
    graph.add_task(Step("a", slug="mine"))
    with pytest.raises(DuplicateSlugError) as caught:
        graph.add_task(Step("b", slug="mine"))
    assert "A task with the slug \"mine\" already exists in this flow. In flow 'g'" in str(caught.value)
    assert "give one of them another slug or name" in str(caught.value)


def test_a_slug_is_given_when_the_task_is_added() -> None:
    graph = Graph("g")
    step = Step("a")
    graph.add_task(step)
    step.name, step.tags = "b", {"x"}
    assert graph.slugs[step] == "a-1"


def test_numbers_that_were_taken_explicitly_are_left_out() -> None:
    graph = Graph("g")
    tasks = [Step(slug="a-1"), Step("a"), Step("a")]
    for each in tasks:
        graph.add_task(each)
    assert [graph.slugs[each] for each in tasks] == ["a-1", "a-2", "a-3"]
    with pytest.raises(DuplicateSlugError):
        graph.add_task(Step(slug="a-2"))


def test_the_same_script_gives_the_same_slugs() -> None:
    @task
    def add(x: object, y: object = 0) -> None: ...

    def build() -> list[str]:
        with Flow("f") as flow:
            one = add([add(1), 2])
            add({"k": one}, y=add.map([1]), upstream_tasks=[Step(), add(3)])
            _ = (one + 1)["k"] | Step(tags={"x", "y"})
        return list(flow.slugs.values())

    first = build()
    assert all(build() == first for _ in range(5))
    assert first[:3] == ["add-1", "add-2", "List-1"]


def test_a_call_of_a_task_with_a_slug_is_a_copy() -> None:
    with Flow("f") as flow:
        step = Step(slug="s")
        step.bind()
        step()
        with pytest.raises(DuplicateSlugError, match='slug "s-copy" already exists'):
            step()
    assert list(flow.slugs.values()) == ["s", "s-copy"]
