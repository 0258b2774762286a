"""Pausing a run from inside of a task."""

from __future__ import annotations

from datetime import timedelta

from prefectlite.clock import current_time
from prefectlite.contexts import context
from prefectlite.signals import PAUSE


def pause_task(message: str | None = None, duration: timedelta | None = None) -> None:
    """Pause the task that calls this until a person resumes it, or for `duration`; then it runs anew, and passes here.

    Raises the signal PAUSE, unless the task has been resumed.
    """
    if context.get("resume"):
        return
    start_time = None if duration is None else current_time() + duration
    raise PAUSE(message or "Pause signal raised during task execution.", start_time=start_time)
