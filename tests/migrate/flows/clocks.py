"""Schedules of every kind, and what they are made of."""

import json
from datetime import UTC, datetime, time, timedelta

import prefect as pf
import prefect.schedules.clocks
from prefect import schedules
from prefect.schedules import CronSchedule, Schedule, adjustments
from prefect.schedules.clocks import IntervalClock
from prefect.schedules.filters import between_times, is_weekday

START = datetime(2024, 5, 3, tzinfo=UTC)

joined = Schedule(
    clocks=[
        IntervalClock(timedelta(hours=3), start_date=START, parameter_defaults={"x": 1}),
        prefect.schedules.clocks.DatesClock([START + timedelta(minutes=90)]),
    ],
    filters=[is_weekday, between_times(time(1), time(12))],
    adjustments=[adjustments.next_weekday],
)
daily = CronSchedule("30 6 * * *", start_date=START)
yearly = schedules.IntervalSchedule(START, timedelta(days=366))


@pf.task
def number(x):
    return x


with pf.Flow("clocks", schedule=joined) as flow:
    value = number(pf.Parameter("x", default=5))

if __name__ == "__main__":
    state = flow.run(run_on_schedule=False)
    times = [event.isoformat() for plan in (joined, yearly) for event in plan.next(4, after=START)]
    print(
        json.dumps(
            {
                "times": times,
                "cron": len(daily.clocks),
                "value": state.result[value].result,
                "day": pf.context.get("date") is None,
            }
        )
    )
