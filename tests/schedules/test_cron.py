"""Cron expressions, read as Prefect 1.4 reads them."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

import pytest

from prefectlite.errors import ScheduleError
from prefectlite.schedules.cron import CronExpression

NOON = datetime(2024, 1, 1, 12)  # a Monday
MEANINGS = {
    "0 0 */2 * 1": "01-03 01-05 01-07 01-08",  # both day fields are restricted: either
    "0 0 1-7 * 1": "01-02 01-03 01-04 01-05",
    "0 0 1 * */2": "01-02 01-04 01-06 01-07",
    "0 0 */1 * 1": "01-02 01-03 01-04 01-05",
    "0 0 1,15 * 1": "01-08 01-15 01-22 01-29",
    "0 0 ? * 1": "01-08 01-15 01-22 01-29",
    "0 0 ? * ?": "01-02 01-03 01-04 01-05",
    "0 0 31 * *": "01-31 03-31 05-31 07-31",
    "0 0 L * *": "01-31 02-29 03-31 04-30",
    "0 0 L,15 * *": "01-15 01-31 02-15 02-29",
    "0 0 LW * *": "01-31 02-29 03-29 04-30",
    "0 0 * * L5": "01-26 02-23 03-29 04-26",
    "0 0 * * 5L": "01-26 02-23 03-29 04-26",
    "0 0 * * fri#2": "01-12 02-09 03-08 04-12",
    "0 0 * * 1#1,3#2": "01-10 02-05 02-14 03-04",
    "0 0 * * 7": "01-07 01-14 01-21 01-28",
    "0 0 * * 0-7": "01-02 01-03 01-04 01-05",
    "0 0 * * 5-7": "01-05 01-06 01-07 01-12",
    "0 0 * * fri-mon": "01-05 01-06 01-07 01-08",
    "0 0 * * Fri-Sun": "01-05 01-06 01-07 01-12",
    "0 0 * * *,1": "01-02 01-03 01-04 01-05",
    "0 0 1 nov-feb *": "02-01 11-01 12-01 01-01",
    "0  0 29 2\t*": "02-29 02-29 02-29 02-29",
    "@daily": "01-02 01-03 01-04 01-05",
    "@midnight": "01-02 01-03 01-04 01-05",
    "@weekly": "01-07 01-14 01-21 01-28",
    "@Monthly": "02-01 03-01 04-01 05-01",
    "@yearly": "01-01 01-01 01-01 01-01",
}
TIMES = {
    "@hourly": "13:00:00 14:00:00 15:00:00 16:00:00",
    "0 22-2 * * *": "22:00:00 23:00:00 00:00:00 01:00:00",
    "0 22-3/2 * * *": "22:00:00 00:00:00 02:00:00 22:00:00",
    "5/10 * * * *": "12:05:00 12:15:00 12:25:00 12:35:00",
    "*/7 * * * *": "12:07:00 12:14:00 12:21:00 12:28:00",
    "0 9-17/2 * * mon-fri": "13:00:00 15:00:00 17:00:00 09:00:00",
    "* * * * * */15": "12:00:15 12:00:30 12:00:45 12:01:00",
    "0 * * * * 30": "12:00:30 13:00:30 14:00:30 15:00:30",
    "*/15 * * * * *": "12:00:01 12:00:02 12:00:03 12:00:04",
}


def shown(text: str, how: str, day_or: bool = True) -> str:
    return " ".join(f"{wall:{how}}" for wall in itertools.islice(CronExpression(text, day_or).walls(NOON), 4))


@pytest.mark.parametrize("text", MEANINGS)
def test_days(text: str) -> None:
    assert shown(text, "%m-%d") == MEANINGS[text]


@pytest.mark.parametrize("text", TIMES)
def test_times(text: str) -> None:
    assert shown(text, "%H:%M:%S") == TIMES[text]


def test_both_days() -> None:
    assert shown("0 0 */2 * 1", "%m-%d", day_or=False) == "01-15 01-29 02-05 02-19"
    assert shown("0 0 1-7 * 1", "%m-%d", day_or=False) == "02-05 03-04 04-01 05-06"


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "* * * *", "60 * * * *", "* 24 * * *", "0 0 0 * *", "0 0 * 13 *", "1-70 * * * *", "70-1 * * * *"),
        *("*/0 * * * *", "-1 * * * *", "@reboot", "0 0 30 2 *", "H * * * *", "R * * * *", "0 0 1W * *", "0 0 1 1 * 0 2026"),
        *("0 0 * * mon-x", "0,, * * * *", "٣ * * * *", "0 0 * * L8", "9" * 2000, "0 " * 900, "* * * * *\0"),
    ],
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(ScheduleError, match="Invalid cron string: "):
        CronExpression(text, True)


def test_days_that_never_come_together() -> None:
    with pytest.raises(ScheduleError, match=r"Invalid cron string: 0 0 31 2 1"):
        CronExpression("0 0 31 2 1", day_or=False)


@pytest.mark.parametrize("text", [5, None, b"* * * * *"])
def test_text_only(text: Any) -> None:
    with pytest.raises(TypeError, match="cron should be a string"):
        CronExpression(text, True)


@pytest.mark.parametrize(
    ("text", "is_fixed"),
    [("0 2 * * *", True), ("0 * * * *", False), ("*/5 2 * * *", False), ("0 */2 * * *", False), ("0 0-23 * * *", True)],
)
def test_which_jobs_have_fixed_times(text: str, is_fixed: bool) -> None:
    assert CronExpression(text, True).is_fixed is is_fixed
