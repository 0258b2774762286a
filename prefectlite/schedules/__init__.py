"""Schedules: when a flow is to run. A Schedule joins clocks, filters their events and adjusts what is left.

Schedule(clocks=[CronClock("0 9 * * *", start_date=datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")))],
         filters=[filters.is_weekday])
"""

from __future__ import annotations

from prefectlite.schedules import adjustments as adjustments
from prefectlite.schedules import clocks as clocks
from prefectlite.schedules import filters as filters
from prefectlite.schedules.documents import schedule_from as schedule_from
from prefectlite.schedules.events import ClockEvent as ClockEvent
from prefectlite.schedules.events import event_key as event_key
from prefectlite.schedules.schedules import CronSchedule as CronSchedule
from prefectlite.schedules.schedules import IntervalSchedule as IntervalSchedule
from prefectlite.schedules.schedules import RRuleSchedule as RRuleSchedule
from prefectlite.schedules.schedules import Schedule as Schedule
