"""`prefectlite run FLOW --schedule`: one run after another, at the moments of the flow's schedule."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from prefectlite.clock import process_clock, sleep_until
from prefectlite.flow_work import next_event
from prefectlite.schedules import Schedule

_CANCELLED = 130


def repeat(schedule: Schedule, flow_name: str, run: Callable[[dict[str, Any], datetime], None]) -> None:
    """Call `run(parameter defaults, moment)` whenever it is time, until there are no more events or a run is cancelled.

    A run that fails, which leaves with 1, does not end it. Leaves as the last one does. Raises FlowError if there is none.
    """
    clock = process_clock()
    event = next_event(schedule, flow_name, clock.now())
    while True:
        click.echo(f"Waiting for next scheduled run at {event.start_time}", err=True)
        asyncio.run(sleep_until(clock, event.start_time))
        code: Any = None
        try:
            run(event.parameter_defaults or {}, event.start_time)
        except SystemExit as left:
            code = left.code
        later = schedule.next(1, after=clock.now(), return_events=True)
        if not later or code == _CANCELLED:
            sys.exit(code)
        event = later[0]
