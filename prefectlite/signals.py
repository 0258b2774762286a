"""Signals: raised in a task, a handler or a trigger to end it in a chosen state, as in Prefect 1.x.

They derive from BaseException, so that `except Exception` in user code does not swallow them.
"""

from __future__ import annotations

from typing import Any

from prefectlite import states
from prefectlite.errors import FlowError
from prefectlite.states import State


class PrefectSignal(BaseException):
    """Root of all signals."""

    def __init__(self, message: Any = "") -> None:
        super().__init__(message)


class StateSignal(PrefectSignal):
    """Ends the task run that raises it in a state of `state_class`; extra keywords go to that state.

    The state's result is the signal itself unless a `result` is given.
    """

    state_class: type[State] = State

    def __init__(self, message: Any = None, *args: Any, **state_fields: Any) -> None:
        super().__init__(message)
        if not args:  # the first of them is the result
            state_fields.setdefault("result", self)
        self.state = self.state_class(message, *args, **state_fields)


#: Prefect's name of `StateSignal`.
PrefectStateSignal = StateSignal


class FAIL(StateSignal):
    """The task failed."""

    state_class = states.Failed


class TRIGGERFAIL(FAIL):
    """The trigger did not accept the upstream states."""

    state_class = states.TriggerFailed


class VALIDATIONFAIL(FAIL):
    """A validator did not accept the result."""

    state_class = states.ValidationFailed


class SUCCESS(StateSignal):
    """The task succeeded, at once."""

    state_class = states.Success


class SKIP(StateSignal):
    """The task is skipped, and with it what depends on it, unless `skip_on_upstream_skip=False`."""

    state_class = states.Skipped


class RETRY(StateSignal):
    """The task is tried again at `start_time` (at once, when not given), whatever its `max_retries`."""

    state_class = states.Retrying


class PAUSE(StateSignal):
    """The task waits for a person to resume it, or until `start_time` where one is given; then it begins anew."""

    state_class = states.Paused


class LOOP(StateSignal):
    """The task runs again at once, and finds `result` as `context.task_loop_result` and the count as `task_loop_count`."""

    state_class = states.Looped

    def __init__(self, message: Any = None, *args: Any, **state_fields: Any) -> None:
        if not args:
            state_fields.setdefault("result", f"LOOP({'' if message is None else repr(message)})")
        super().__init__(message, *args, **state_fields)


class ENDRUN(PrefectSignal):
    """Ends the run in exactly this `state`: without retries, and in a handler without asking further ones."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state

    def __reduce__(self) -> tuple[Any, ...]:
        return ENDRUN, (self.state,)


class TaskTimeoutSignal(PrefectSignal):
    """Raised inside of a task that ran longer than its `timeout`."""


#: The signal that ends a run in states of just this class.
OF_STATE: dict[type[State], type[StateSignal]] = {
    signal.state_class: signal for signal in (FAIL, TRIGGERFAIL, VALIDATIONFAIL, SUCCESS, SKIP, RETRY, PAUSE, LOOP)
}


def signal_from_state(state: State) -> type[StateSignal]:
    """The class of signals that end a run in states of just this class. Raises ValueError if there is none."""
    try:
        return OF_STATE[type(state)]
    except KeyError:
        raise FlowError(f"No signal matches the provided state: {state}") from None
