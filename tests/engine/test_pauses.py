"""Pauses: who lets a task go on, and what it knows then."""

from __future__ import annotations

import builtins
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefectlite import Flow, context, executors, pause_task, signals, triggers
from prefectlite.states import Paused, Resume, State
from tests.engine.conftest import Made, Seen


class Person:
    """Somebody at the terminal, who answers these, and then always "y"."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, question: str) -> str:
        self.asked.append(question)
        return self._answers.pop(0) if self._answers else "y"


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Person:
    somebody = Person()
    monkeypatch.setattr(builtins, "input", somebody)
    return somebody


QUESTION = "<Task: t> is currently Paused; enter 'y' to resume:\n"


def test_manual_only(made: Made, seen: Seen, person: Person) -> None:
    with Flow("manual") as flow:
        only = made(lambda: context.get("resume"), trigger=triggers.manual_only, state_handlers=[seen])()
        after = made(lambda x: x)(only)
    run = flow.run()
    assert (run[only], run[after], person.asked) == (True, True, [QUESTION])
    assert seen == ["Pending>Paused", "Resume>Running", "Running>Success"]


@pytest.mark.parametrize(("answers", "times"), [(["n", "", "y"], 3), (["yes", "Y"], 2), ([" y "], 1)])
def test_it_is_asked_until_the_answer_is_yes(
    made: Made, monkeypatch: pytest.MonkeyPatch, answers: list[str], times: int
) -> None:
    person = Person(*answers)
    monkeypatch.setattr(builtins, "input", person)
    with Flow("answers") as flow:
        made(lambda: 1, trigger=triggers.manual_only)()
    assert flow.run().is_successful()
    assert person.asked == [QUESTION] * times


def test_the_whole_task_runs_again(made: Made, person: Person) -> None:
    ran: list[Any] = []

    def body() -> int:
        ran.append((context.get("resume"), context.task_run_count))
        pause_task("please")
        return len(ran)

    with Flow("again") as flow:
        only = made(body)()
    assert flow.run()[only] == 2
    assert ran == [(None, 1), (True, 1)]


def test_a_time_lets_it_go_on_by_itself(made: Made, seen: Seen, person: Person) -> None:
    def body() -> bool:
        if not context.get("resume"):
            raise signals.PAUSE("wait", start_time=datetime.now(UTC) + timedelta(milliseconds=20))
        return bool(context.resume)

    with Flow("time") as flow:
        only = made(body, state_handlers=[seen])()
    assert flow.run()[only] is True
    assert person.asked == []
    assert seen == ["Pending>Running", "Running>Paused", "Paused>Running", "Running>Success"]


def test_children_are_asked_for_one_by_one(made: Made, person: Person) -> None:
    def body(x: int) -> int:
        if x % 2:
            pause_task()
        return x

    with Flow("children") as flow:
        children = made(body).map([0, 1, 2, 3])
    assert flow.run()[children] == [0, 1, 2, 3]
    assert sorted(person.asked) == [QUESTION.replace("t>", f"t[{index}]>") for index in (1, 3)]


def test_a_paused_task_keeps_no_place(made: Made, person: Person) -> None:
    order: list[str] = []
    with Flow("places", executor=executors.LocalExecutor(workers=1)) as flow:
        made(lambda: order.append("paused"), trigger=triggers.manual_only)()
        for _ in range(3):
            made(lambda: order.append("other"))()
    assert flow.run().is_successful()
    assert sorted(order) == ["other", "other", "other", "paused"]


def test_failures_upstream_do_not_matter_to_manual_only_and_skips_do(made: Made, person: Person) -> None:
    def skip() -> None:
        raise signals.SKIP("s")

    with Flow("upstream") as flow:
        ends = [
            made(lambda: 1, trigger=triggers.manual_only)(upstream_tasks=[made(body)()]) for body in (lambda: 1 // 0, skip)
        ]
    states = flow.run().result
    assert [states[end].name for end in ends] == ["Success", "Skipped"]
    assert len(person.asked) == 1


def test_the_context_may_resume_everything(made: Made, person: Person) -> None:
    with Flow("context") as flow:
        made(lambda: 1, trigger=triggers.manual_only)()
    assert flow.run(context={"resume": True}).is_successful()
    assert person.asked == []


@pytest.mark.parametrize(("given", "questions"), [(Resume("go"), 0), (Paused("given"), 1)])
def test_a_state_that_is_given(made: Made, person: Person, given: State, questions: int) -> None:
    with Flow("given") as flow:
        only = made(lambda: context.get("resume"), trigger=triggers.manual_only)()
    assert flow.run(task_states={only: given})[only] is True
    assert len(person.asked) == questions


def test_a_given_pause_with_a_time_that_has_come(made: Made, person: Person) -> None:
    with Flow("given") as flow:
        only = made(lambda: context.get("resume"))()
    given = Paused("p", start_time=datetime.now(UTC) - timedelta(seconds=1))
    assert flow.run(task_states={only: given})[only] is True
    assert person.asked == []


def test_a_handler_may_pause(made: Made, person: Person) -> None:
    def handler(task: Any, old: State, new: State) -> None:
        if new.is_running() and not context.get("resume"):
            raise signals.PAUSE("wait")

    ran: list[int] = []
    with Flow("handler") as flow:
        made(lambda: ran.append(1), state_handlers=[handler])()
    assert flow.run().is_successful()
    assert (len(ran), len(person.asked)) == (1, 1)
