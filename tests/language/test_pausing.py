from __future__ import annotations

from datetime import timedelta

import pytest

from prefectlite import context
from prefectlite.clock import active_clock
from prefectlite.language.pausing import pause_task
from prefectlite.signals import PAUSE
from prefectlite.states import Paused
from tests.conftest import HeldClock


def paused(message: str | None = None, duration: timedelta | None = None) -> Paused:
    with pytest.raises(PAUSE) as caught:
        pause_task(message, duration)
    assert isinstance(caught.value.state, Paused)
    return caught.value.state


def test_it_waits_for_a_person_unless_told_how_long() -> None:
    assert paused().start_time is None
    assert paused().message == "Pause signal raised during task execution."
    assert paused("look at it").message == "look at it"


def test_it_may_wait_for_a_time_by_the_clock_of_the_run() -> None:
    clock = HeldClock()
    token = active_clock.set(clock)
    try:
        assert paused(duration=timedelta(hours=1)).start_time == clock.now() + timedelta(hours=1)
    finally:
        active_clock.reset(token)


def test_a_resumed_task_passes() -> None:
    with context(resume=True):
        pause_task()
    with context(resume=False):
        assert paused()
