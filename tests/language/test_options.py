from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from prefectlite import Flow, Task, context
from prefectlite.errors import FlowError
from prefectlite.language import options
from prefectlite.language.delays import exponential_backoff
from prefectlite.states import Failed, Running, Success

SECOND = timedelta(seconds=1)


class Add(Task):
    def run(self, x: int, y: int = 1) -> int:
        return x + y


class Place:
    """A result as tasks know it: it has a location, and can be copied."""

    def __init__(self, location: Any = None) -> None:
        self.location = location

    def copy(self) -> Place:
        return Place(self.location)


# -- errors ---------------------------------------------------------------------------------------------------------------

RETRIES = {"max_retries": 1, "retry_delay": 1}


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"max_retries": -1}, FlowError, "Task 'named': `max_retries` must be from 0 to 2,147,483,647, not -1"),
        ({"max_retries": 2**31}, FlowError, "`max_retries` must be from 0 to 2,147,483,647, not 2,147,483,648"),
        ({"max_retries": 1.5}, TypeError, "Task 'named': `max_retries` must be a whole number, not 1.5"),
        ({"max_retries": 1}, FlowError, "A datetime.timedelta `retry_delay` must be provided if max_retries > 0"),
        ({"retry_delay": 1}, FlowError, "A `max_retries` argument greater than 0 must be provided if specifying a retry"),
        ({"max_retries": 0, "retry_delay": SECOND}, FlowError, "A `max_retries` argument greater than 0 must be provided"),
        ({"retry_on": OSError}, FlowError, "A number of `max_retries` must be provided if `retry_on` is set."),
        ({**RETRIES, "retry_on": 5}, TypeError, "value 5. Expected an exception type but got an instance of int"),
        ({**RETRIES, "retry_on": [5]}, TypeError, "Invalid `retry_on` value 5. Expected an exception type but got an"),
        ({**RETRIES, "retry_on": int}, TypeError, "Invalid `retry_on` value <class 'int'>. Expected an exception subclass."),
        ({**RETRIES, "retry_on": KeyboardInterrupt}, TypeError, "Expected an exception subclass."),
        ({"max_retries": 1, "retry_delay": "1"}, TypeError, "The `retry_delay` of task 'named' must be a number of seconds"),
        ({"max_retries": 1, "retry_delay": True}, TypeError, "`retry_delay` of task 'named' must be a number of seconds"),
        ({"max_retries": 1, "retry_delay": -1}, FlowError, "The `retry_delay` of task 'named' cannot be negative: -1"),
        ({"max_retries": 1, "retry_delay": [1, "2"]}, TypeError, "task 'named' must be a number of seconds or a timedelta"),
        ({"max_retries": 1, "retry_delay": []}, FlowError, "must be at least one delay, not an empty list"),
        ({"max_retries": 1, "retry_delay": float("nan")}, FlowError, "`retry_delay` of task 'named' cannot be nan seconds"),
        ({"max_retries": 1, "retry_delay": 1e300}, FlowError, "The `retry_delay` of task 'named' cannot be 1e+300 seconds"),
        ({"timeout": "1"}, TypeError, "The `timeout` of task 'named' must be a number of seconds or a timedelta, not '1'"),
        ({"timeout": True}, TypeError, "The `timeout` of task 'named' must be a number of seconds or a timedelta, not True"),
        ({"timeout": 0}, FlowError, "The `timeout` of task 'named' must be longer than nothing, not 0"),
        ({"timeout": -SECOND}, FlowError, "of task 'named' must be longer than nothing, not datetime.timedelta"),
        ({"timeout": 1e-9}, FlowError, "The `timeout` of task 'named' must be longer than nothing, not 1e-09"),
        ({"timeout": float("inf")}, FlowError, "The `timeout` of task 'named' cannot be inf seconds"),
        ({"tags": "x"}, TypeError, "Tags should be a set of tags, not a string."),
        ({"tags": [5]}, TypeError, "Tags must be text, not 5"),
        ({"slug": 5}, TypeError, "The slug of task 'named' must be text, not 5"),
        ({"trigger": 5}, TypeError, "Task 'named': `trigger` must be a function, not 5"),
        ({"cache_for": "1"}, TypeError, "The `cache_for` of task 'named' must be a number of seconds or a timedelta"),
        ({"cache_for": 1, "cache_validator": 5}, TypeError, "`cache_validator` of task 'named' must be a function, not 5"),
        ({"state_handlers": 5}, TypeError, "state_handlers should be iterable."),
        ({"state_handlers": print}, TypeError, "state_handlers should be iterable."),
        ({"state_handlers": {print}}, TypeError, "state_handlers should be iterable."),
        ({"state_handlers": "abc"}, TypeError, "state_handlers should be iterable."),
        ({"state_handlers": [5]}, TypeError, "Task 'named': a state handler must be a function"),
        ({"target": 5}, TypeError, "Task 'named': `target` must be a template or a function that returns text, not 5"),
        ({"thread": "main"}, FlowError, "of task 'named' must be \"flow\" (the run's own thread) or None, not 'main'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["made", "copied", "called"])
def test_options_that_cannot_be_used(given: dict[str, Any], error: type[Exception], words: str, way: str) -> None:
    with pytest.raises(error) as caught:  # noqa: PT012 - it is the one of three that raises
        if way == "made":
            Add("named", **given)
        elif way == "copied":
            Add("named").copy(**given)
        else:
            Add("named")(1, flow=Flow("f"), task_args=given)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": 5}, "The name of a task must be text, not 5"),
        ({"cache_key": 5}, "`cache_key` must be text"),
        ({"task_run_name": 5}, "`task_run_name` must be a template or a function"),
        ({"on_failure": 5}, "on_failure must be a function of the task or flow and its state, not 5"),
        ({"tags": 5}, "not iterable"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_options_of_the_wrong_type(given: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        Add(**given)


# -- retries and timeouts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [1, 1.0, SECOND])
@pytest.mark.parametrize(
    ("kinds", "kept"), [(None, None), (OSError, {OSError}), ([OSError, KeyError], {OSError, KeyError}), ((), None)]
)
def test_retries(delay: Any, kinds: Any, kept: Any) -> None:
    made = Add(max_retries=2, retry_delay=delay, retry_on=kinds)
    assert (made.max_retries, made.retry_delay, made.retry_on) == (2, SECOND, kept)


@pytest.mark.parametrize(
    ("delay", "kept", "waits"),
    [
        (0, timedelta(0), [0, 0, 0]),
        (0.5, timedelta(seconds=0.5), [0.5, 0.5, 0.5]),
        ([1, timedelta(minutes=1)], (SECOND, timedelta(minutes=1)), [1, 60, 60]),
        ((1, 2, 3, 4), tuple(n * SECOND for n in (1, 2, 3, 4)), [1, 2, 3]),
    ],
)
def test_the_wait_after_an_attempt(delay: Any, kept: Any, waits: list[float]) -> None:
    made = Add(max_retries=3, retry_delay=delay)
    assert made.retry_delay == kept
    assert [made.delay_after(attempt).total_seconds() for attempt in (1, 2, 3)] == waits


def test_a_function_decides_the_wait() -> None:
    made = Add("named", max_retries=3, retry_delay=lambda attempt: 10**attempt)
    assert [made.delay_after(attempt) for attempt in (1, 2)] == [10 * SECOND, 100 * SECOND]
    assert Add(max_retries=1, retry_delay=lambda attempt: SECOND).delay_after(1) == SECOND
    assert Add(max_retries=1, retry_delay=exponential_backoff(jitter=0)).delay_after(3) == 4 * SECOND
    for answer, error in (("1", TypeError), (None, TypeError), (-1, FlowError)):
        with pytest.raises(error, match="The `retry_delay` of task 'named' "):
            made.copy(retry_delay=lambda attempt, answer=answer: answer).delay_after(1)
    with pytest.raises(ZeroDivisionError):
        made.copy(retry_delay=lambda attempt: 1 / 0).delay_after(1)


def test_a_retry_that_was_asked_for_by_a_signal_needs_no_delay() -> None:
    assert Add().delay_after(1) == timedelta(0)


@pytest.mark.parametrize(
    ("given", "kept"), [(None, None), (3, 3), (1.5, 1.5), (2.0, 2), (2 * SECOND, 2), (timedelta(milliseconds=1), 0.001)]
)
def test_the_timeout_is_in_seconds(given: Any, kept: Any) -> None:
    assert Add(timeout=given).timeout == kept
    assert type(Add(timeout=given).timeout) is type(kept)


# -- caches, results and targets ------------------------------------------------------------------------------------------


def test_caches() -> None:
    def check(state: Any, inputs: Any, parameters: Any) -> bool:
        return True

    made = Add(cache_for=60, cache_validator=check, cache_key="k")
    assert (made.cache_for, made.cache_validator, made.cache_key) == (timedelta(minutes=1), check, "k")
    assert Add(cache_for=SECOND).cache_for == SECOND
    assert (Add().cache_for, Add().cache_key) == (None, None)
    with pytest.warns(
        UserWarning, match=r"^cache_validator provided without specifying cache expiration \(cache_for\); this"
    ):
        Add(cache_validator=check)


def test_a_result_without_a_target_is_the_users_own() -> None:
    result = Place("a")
    assert Add(result=result).result is result
    assert Add(result=result).copy().result is result
    assert (Add(target="t").result, Add(target="t").target) == (None, "t")


def where(**kwargs: Any) -> str:
    return "there"


@pytest.mark.parametrize("target", ["t", where])
def test_the_target_is_where_the_result_is_kept(target: Any) -> None:
    result = Place()
    made = Add(result=result, target=target)
    assert made.result is not result
    assert (made.result.location, made.target, result.location) == (target, target, None)
    same = Place(target)
    assert Add(result=same, target=target).result.location == target


def copied(**task_args: Any) -> Callable[[Place], Task]:
    return lambda result: Add().copy(result=result, **task_args)


@pytest.mark.parametrize(
    "make",
    [
        lambda result: Add(result=result, target="t"),
        lambda result: Add().copy(result=result, target="t"),
        lambda result: Add(target="t").copy(result=result),
        lambda result: Add(result=result).copy(target="t"),
    ],
)
def test_a_target_wins_over_another_location_with_a_warning(make: Callable[[Place], Task]) -> None:
    result = Place("elsewhere")
    with pytest.warns(
        UserWarning, match=r"^Both `result.location` and `target` were provided. The `target` value will be use"
    ):
        made = make(result)
    assert (made.result.location, made.target, result.location) == ("t", "t", "elsewhere")


def test_a_copy_may_have_no_target() -> None:
    made = Add(result=Place(), target="t").copy(target=None)
    assert (made.target, made.result.location) == (None, "t")


# -- handlers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [list, tuple])
def test_the_users_list_of_handlers_stays_the_users(kind: type) -> None:
    handlers = kind([print])
    made = Add(state_handlers=handlers, on_failure=lambda task, state: None)
    assert handlers == kind([print])
    assert made.state_handlers[0] is print
    assert len(made.state_handlers) == 2
    assert Add(state_handlers=handlers).state_handlers == [print]
    assert Add(state_handlers=None).state_handlers == []
    assert Add(state_handlers=False).state_handlers == []  # type: ignore[arg-type]


def test_handlers_are_shared_with_copies_but_for_new_ones() -> None:
    made = Add(state_handlers=[print])
    assert made.copy().state_handlers is made.state_handlers
    given = [repr]
    changed = made.copy(state_handlers=given)
    assert changed.state_handlers == [repr]
    assert changed.state_handlers is not given


def test_on_failure_is_called_for_failures() -> None:
    calls: list[Any] = []
    made = Add(on_failure=lambda task, state: calls.append((task, state)))
    (handler,) = made.state_handlers
    failed = Failed("no")
    assert handler(made, Running(), failed) is failed
    succeeded = Success("yes")
    assert handler(made, Running(), succeeded) is succeeded
    assert calls == [(made, failed)]


# -- warnings and the like ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", options.ATTRIBUTES)
def test_an_attribute_that_would_be_overwritten(attribute: str) -> None:
    class Mine(Task):
        def __init__(self) -> None:
            setattr(self, attribute, 1)
            super().__init__()

    with pytest.warns(UserWarning, match="`Mine` sets") as caught:
        Mine()
    assert [str(warning.message) for warning in caught] == [
        f"`Mine` sets a `{attribute}` attribute, which will be overwritten by `prefectlite.Task`."
        " Please rename this attribute to avoid this issue."
    ]


def test_an_attribute_of_the_class_that_would_be_overwritten() -> None:
    class Mine(Task):
        target = "t"

    with pytest.warns(UserWarning, match="`Mine` sets a `target` attribute"):
        Mine()


def test_the_attributes_are_those_that_are_set() -> None:
    assert set(options.ATTRIBUTES) == {name for name in vars(Task()) if not name.startswith("_")} - {"is_async"}
    assert set(options.TaskOptions.__annotations__) == set(options.ATTRIBUTES) - {"name", "auto_generated"} | {"on_failure"}


@pytest.mark.parametrize("way", ["positional", "keyword"])
def test_a_task_as_an_argument_of_a_class(way: str) -> None:
    class Mine(Task):
        def __init__(self, value: Any, **kwargs: Any) -> None:
            self.value = value
            super().__init__(**kwargs)

    with pytest.warns(
        UserWarning, match=r"^A Task was passed as an argument to Mine, you likely want to first initialize Mine"
    ):
        made = Mine(Add()) if way == "positional" else Mine(value=Add())
    assert isinstance(made.value, Add)
    Mine([Add()])


def test_tags_around() -> None:
    made = Add(tags=["z"])
    with context(tags={"q"}):
        assert Add(tags=["p"]).tags == {"p", "q"}
        assert made.copy().tags == {"z", "q"}
        with Flow("f"):
            assert made(1).tags == {"z", "q"}
            assert made.bind(1) is made
    assert made.tags == {"z", "q"}
    assert Add().tags == set()
