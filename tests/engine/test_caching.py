"""`cache_for`: what is kept, and when it stands for a new run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefectlite import Flow, Parameter, cache_validators, signals
from prefectlite.states import Cached, State
from tests.engine.conftest import Made, Seen

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("in_memory")]
HOUR = timedelta(hours=1)


def flow_of(made: Made, **options: Any) -> tuple[Flow, Any, list[int]]:
    """A flow of one task, and its arguments so far."""
    ran: list[int] = []
    with Flow("caching") as flow:
        only = made(lambda x: ran.append(x) or x * 10, **options)(Parameter("p", default=1))
        flow.add_task(Parameter("q", default=0))
    return flow, only, ran


async def test_what_is_kept(made: Made, seen: Seen) -> None:
    flow, only, _ = flow_of(made, cache_for=HOUR, state_handlers=[seen])
    state = (await flow.run()).result[only]
    assert isinstance(state, Cached)
    assert (state.message, state.result, state.cached_parameters) == ("Task run succeeded.", 10, {"p": 1, "q": 0})
    assert set(state.hashed_inputs or {}) == {"x"}
    assert state.cached_result_expiration is not None
    assert abs(state.cached_result_expiration - datetime.now(UTC) - HOUR) < timedelta(minutes=1)
    assert seen == ["Pending>Running", "Running>Success", "Success>Cached"]


@pytest.mark.parametrize(
    ("validator", "runs", "hits"),
    [
        (None, [{}, {}], [False, True]),
        (None, [{"p": 1}, {"p": 2}], [False, True]),
        (cache_validators.duration_only, [{}, {}], [False, True]),
        (cache_validators.never_use, [{}, {}], [False, False]),
        (cache_validators.all_inputs, [{"p": 1}, {"p": 2}, {"p": 1, "q": 5}], [False, False, True]),
        (cache_validators.all_parameters, [{"q": 1}, {"q": 2}, {"q": 1}], [False, False, True]),
        (cache_validators.partial_inputs_only(["x"]), [{"p": 1}, {"p": 2}], [False, False]),
        (cache_validators.partial_inputs_only(), [{"p": 1}, {"p": 2}], [False, True]),
        (cache_validators.partial_parameters_only(["q"]), [{"p": 1}, {"p": 2}, {"q": 1}], [False, True, False]),
    ],
)
async def test_validators(made: Made, validator: Any, runs: list[dict[str, int]], hits: list[bool]) -> None:
    flow, _, ran = flow_of(made, cache_for=HOUR, cache_validator=validator)
    found = []
    for parameters in runs:
        before = len(ran)
        await flow.run(parameters)
        found.append(len(ran) == before)
    assert found == hits


async def test_a_hit_is_one_change_and_does_not_last_longer(made: Made, seen: Seen) -> None:
    flow, only, _ = flow_of(made, cache_for=HOUR, state_handlers=[seen])
    first = (await flow.run()).result[only]
    seen.clear()
    second = (await flow.run()).result[only]
    assert seen == ["Pending>Cached"]
    assert second == first


async def test_what_has_expired_is_no_hit(made: Made) -> None:
    flow, _, ran = flow_of(made, cache_for=timedelta(microseconds=1))
    await flow.run()
    await flow.run()
    assert ran == [1, 1]


async def test_it_says_so_when_nothing_is_good_any_more(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    flow, _, ran = flow_of(made, cache_for=HOUR, cache_validator=lambda *args: False)
    await flow.run()
    assert "Can't use cache" not in caplog.text
    await flow.run()
    assert "Task 't': Can't use cache because it is now invalid" in caplog.text
    assert ran == [1, 1]


async def test_a_validator_that_raises(made: Made, seen: Seen) -> None:
    flow, only, ran = flow_of(
        made, cache_for=HOUR, cache_validator=lambda *args: 1 // 0, state_handlers=[seen], max_retries=1, retry_delay=0
    )
    await flow.run()
    seen.clear()
    state = (await flow.run()).result[only]
    assert str(state.message).startswith("Unexpected error: ZeroDivisionError(")
    assert (seen, ran) == (["Pending>Failed"], [1])


async def test_what_a_validator_is_told(made: Made) -> None:
    told: list[Any] = []

    def validator(state: Cached, inputs: Any, parameters: Any) -> bool:
        told.append((state.result, dict(inputs), dict(parameters)))
        return True

    flow, _, _ = flow_of(made, cache_for=HOUR, cache_validator=validator)
    await flow.run()
    await flow.run(p=2)
    assert told == [(10, {"x": 2}, {"p": 2, "q": 0})]


async def test_failures_and_skips_are_not_kept(made: Made) -> None:
    def skip() -> None:
        raise signals.SKIP("s")

    with Flow("ends") as flow:
        tasks = [made(skip, cache_for=HOUR)(), made(lambda: 1 // 0, cache_for=HOUR)()]
    for _ in range(2):
        states = (await flow.run()).result
        assert [states[task].name for task in tasks] == ["Skipped", "Failed"]


async def test_a_key_is_shared_by_all_flows(made: Made) -> None:
    ran: list[str] = []

    def flow_named(name: str, key: str | None) -> tuple[Flow, Any]:
        with Flow(name) as flow:
            only = made(lambda: ran.append(name) or name, cache_for=HOUR, cache_key=key)()
        return flow, only

    for name, key in (("a", "k"), ("b", "k"), ("c", None), ("d", None)):
        flow, only = flow_named(name, key)
        assert (await flow.run())[only] == ("a" if key else name)
    assert ran == ["a", "c", "d"]


async def test_two_places_in_a_flow_have_their_own(made: Made) -> None:
    task = made(lambda x: x, cache_for=HOUR)
    with Flow("places") as flow:
        one, two = task(1), task(2)
    for _ in range(2):
        run = await flow.run()
        assert (run[one], run[two]) == (1, 2)


@pytest.mark.parametrize(
    ("options", "expiration", "hit"),
    [
        ({"cache_for": HOUR}, HOUR, True),
        ({"cache_for": HOUR}, -HOUR, False),
        ({}, HOUR, False),
        ({"cache_for": HOUR}, None, True),
    ],
)
async def test_a_cached_state_that_is_given(made: Made, options: Any, expiration: Any, hit: bool) -> None:
    changes: list[Any] = []

    def handler(task: Any, old: State, new: State) -> None:
        changes.append((old.name, new.name, new.message))

    flow, only, ran = flow_of(made, state_handlers=[handler], **options)
    until = None if expiration is None else datetime.now(UTC) + expiration
    state = (await flow.run(task_states={only: Cached("given", 9, cached_result_expiration=until)})).result[only]
    assert (state.result == 9, ran == []) == (hit, hit)
    invalid = [("Cached", "Pending", "Cache was invalid; ready to run."), ("Pending", "Running", "Starting task run.")]
    assert changes[:2] == ([] if hit else invalid)
