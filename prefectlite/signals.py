"""Signals: raised in a task or a trigger to end it in a chosen state, as in Prefect 1.x.

They derive from BaseException, so that `except Exception` in user code does not swallow them.
"""

from __future__ import annotations

from typing import Any

from prefectlite import states
from prefectlite.states import State


class StateSignal(BaseException):
    """Ends the task run that raises it in a state of `state_class`; extra keywords go to that state."""

    state_class: type[State] = State

    def __init__(self, message: str | None = None, *args: Any, **state_fields: Any) -> None:
        super().__init__(message)
        if not args:  # the first of them is the result
            state_fields.setdefault("result", self)
        self.state = self.state_class(message, *args, **state_fields)


class FAIL(StateSignal):
    """The task failed."""

    state_class = states.Failed


class TRIGGERFAIL(FAIL):
    """The trigger did not accept the upstream states."""

    state_class = states.TriggerFailed


class SUCCESS(StateSignal):
    """The task succeeded, at once."""

    state_class = states.Success


class SKIP(StateSignal):
    """The task is skipped, and with it what depends on it, unless `skip_on_upstream_skip=False`."""

    state_class = states.Skipped


class RETRY(StateSignal):
    """The task is tried again at `start_time` (at once, when not given), whatever its `max_retries`."""

    state_class = states.Retrying
