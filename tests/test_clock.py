from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite.clock import Clock, SystemClock, from_micros, sleep_until, to_micros

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


class FastClock(Clock):
    """A clock on which sleeping takes no time; `drift` seconds are added to the wall clock by each sleep."""

    def __init__(self, drift: float = 0.0) -> None:
        self.slept: list[float] = []
        self.drift = drift

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=sum(self.slept) + self.drift * len(self.slept))

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_survives(moment: datetime) -> None:
    restored = from_micros(to_micros(moment))
    assert restored == moment
    assert restored.tzinfo is UTC


@settings(deadline=None)
@given(st.integers(to_micros(datetime.min), to_micros(datetime.max)))
def test_microseconds_survive(micros: int) -> None:
    assert to_micros(from_micros(micros)) == micros


@settings(deadline=None)
@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS))
def test_the_zone_does_not_matter(moment: datetime) -> None:
    assert to_micros(moment) == to_micros(moment.astimezone(UTC))


@settings(deadline=None)
@given(st.datetimes())
def test_naive_means_utc(moment: datetime) -> None:
    assert to_micros(moment) == to_micros(moment.replace(tzinfo=UTC))


@settings(deadline=None)
@given(st.tuples(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC))))
def test_order_is_kept(moments: tuple[datetime, datetime]) -> None:
    one, other = moments
    assert (one < other) == (to_micros(one) < to_micros(other))


@pytest.mark.parametrize(
    ("moment", "micros"),
    [
        (EPOCH, 0),
        (datetime(1970, 1, 1, 0, 0, 0, 1), 1),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999), -1),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")), 1_729_989_000_000_000),
        (datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")), 1_729_992_600_000_000),
    ],
)
def test_known_moments(moment: datetime, micros: int) -> None:
    assert to_micros(moment) == micros


def test_what_no_datetime_can_hold_is_an_error() -> None:
    with pytest.raises(OverflowError):
        from_micros(10**20)


def test_the_system_clock_is_aware_and_goes_on() -> None:
    clock = SystemClock()
    now, tick = clock.now(), clock.monotonic()
    assert now.utcoffset() == timedelta(0)
    assert abs((now - datetime.now(UTC)).total_seconds()) < 60
    assert clock.monotonic() >= tick


@pytest.mark.asyncio
@pytest.mark.parametrize("seconds", [0, -1, -0.5])
async def test_sleeping_for_nothing_gives_the_loop_a_turn(seconds: float) -> None:
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "other")
    await SystemClock().sleep(seconds)
    assert turns == ["other"]


@pytest.mark.asyncio
async def test_sleep_until_looks_at_the_wall_clock_every_minute() -> None:
    clock = FastClock()
    await sleep_until(clock, EPOCH + timedelta(seconds=150))
    assert clock.slept == [60.0, 60.0, 30.0]


@pytest.mark.asyncio
async def test_sleep_until_notices_a_wall_clock_that_was_moved() -> None:
    clock = FastClock(drift=3600)
    await sleep_until(clock, EPOCH + timedelta(hours=1))
    assert clock.slept == [60.0]


@pytest.mark.asyncio
@pytest.mark.parametrize("moment", [EPOCH, EPOCH - timedelta(days=1)])
async def test_sleep_until_what_is_past_does_not_sleep(moment: datetime) -> None:
    clock = FastClock()
    await sleep_until(clock, moment)
    assert clock.slept == []
