"""The states a flow run or a task run can be in, with Prefect 1.x's names, colours and predicates."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar

from prefectlite.state import NO_RESULT
from prefectlite.state import State as State


class Pending(State):
    """Not begun."""

    color = "#7ebdff"


class _Timed(Pending):
    """A pending state with a moment before which it does not go on."""

    details: ClassVar[tuple[str, ...]] = ("start_time",)

    def __init__(
        self,
        message: str | None = None,
        result: Any = NO_RESULT,
        *,
        start_time: datetime | None = None,
        context: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, result, context=context)
        self.start_time = _aware(start_time)


class Scheduled(_Timed):
    """To be begun at `start_time` (now, when not given)."""

    color = "#ffab00"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.start_time is None and not isinstance(self, Paused):
            self.start_time = datetime.now(UTC)


class Paused(Scheduled):
    """Waiting for a person, or until `start_time` where one is given."""

    color = "#99a8e8"


class Resume(Scheduled):
    """Allowed to go on after a pause."""

    color = "#f58c0c"


class Retrying(Scheduled):
    """Failed, and to be tried again at `start_time`; `run_count` is the attempt that failed (1, 2, …)."""

    color = "#f66a0a"
    details = ("start_time", "run_count")

    def __init__(self, message: str | None = None, result: Any = NO_RESULT, *, run_count: int = 1, **kwargs: Any) -> None:
        super().__init__(message, result, **kwargs)
        self.run_count = run_count


class Running(State):
    """Executing."""

    color = "#3d67ff"


class Cancelling(Running):
    """Asked to stop, and stopping."""

    color = "#e8e8e8"


class _MetaState(Pending):
    """A state around another one."""

    details: ClassVar[tuple[str, ...]] = ("state",)

    def __init__(
        self, message: str | None = None, result: Any = NO_RESULT, *, state: State | None = None, **kwargs: Any
    ) -> None:
        super().__init__(message, result, **kwargs)
        self.state = state


class Submitted(_MetaState):
    """Given to an executor."""

    color = "#ffdf5d"


class Queued(_MetaState):
    """Held back until a limit allows it, at the earliest at `start_time`."""

    color = "#ffea7f"
    details = ("state", "start_time")

    def __init__(self, *args: Any, start_time: datetime | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.start_time = _aware(start_time) or datetime.now(UTC)


class ClientFailed(_MetaState):
    """The executor could not report `state`."""

    color = "#eb0000"


class Finished(State):
    """Ended."""

    color = "#003ccb"


class Looped(Finished):
    """One round of a loop ended; `loop_count` rounds so far."""

    details = ("loop_count",)

    def __init__(self, message: str | None = None, result: Any = NO_RESULT, *, loop_count: int = 1, **kwargs: Any) -> None:
        super().__init__(message, result, **kwargs)
        self.loop_count = loop_count


class Cancelled(Finished):
    """Stopped before its end, because somebody asked."""

    color = "#bdbdbd"


class Success(Finished):
    """Ended well."""

    color = "#28a745"


class Cached(Success):
    """Ended well without running: `result` is an earlier one, valid until `cached_result_expiration`."""

    color = "#34d058"
    details = ("hashed_inputs", "cached_parameters", "cached_result_expiration")

    def __init__(
        self,
        message: str | None = None,
        result: Any = NO_RESULT,
        *,
        hashed_inputs: dict[str, str] | None = None,
        cached_parameters: dict[str, Any] | None = None,
        cached_result_expiration: datetime | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, result, **kwargs)
        self.hashed_inputs = hashed_inputs
        self.cached_parameters = cached_parameters
        self.cached_result_expiration = _aware(cached_result_expiration)


class Mapped(Success):
    """Turned into children, one per element; `map_states` are theirs, in order, and `result` the list of their results."""

    color = "#003ccb"
    details = ("n_map_states",)

    def __init__(
        self,
        message: str | None = None,
        result: Any = NO_RESULT,
        *,
        map_states: Iterable[State | None] | None = None,
        n_map_states: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, result, **kwargs)
        self.map_states: list[State | None] = list(map_states or [])
        self.n_map_states = len(self.map_states) if n_map_states is None else n_map_states

    @property
    def result(self) -> Any:
        if self._result is not NO_RESULT:
            return self._result
        return [None if state is None else state.result for state in self.map_states]

    @result.setter
    def result(self, value: Any) -> None:
        self._result = value


class Skipped(Success):
    """Not run, on purpose."""

    color = "#62757f"


class Failed(Finished):
    """Ended badly; `result` is the exception where there was one."""

    color = "#eb0000"


class TimedOut(Failed):
    """Ran longer than its `timeout`."""

    color = "#ff4e33"


class TriggerFailed(Failed):
    """Not run, because its trigger did not accept how the upstream tasks ended."""

    color = "#ff5131"


class ValidationFailed(Failed):
    """Its result was refused by a validator."""

    color = "#ff5131"


def _aware(moment: datetime | None) -> datetime | None:
    if moment is not None and not isinstance(moment, datetime):
        raise TypeError(f"a moment must be a datetime, not {moment!r}")
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _all_classes() -> dict[str, type[State]]:
    module = sys.modules[__name__]
    found = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, State)]
    return {c.__name__: c for c in found if not c.__name__.startswith("_")}


#: Every state class by its name, as the record and the API write it.
BY_NAME: dict[str, type[State]] = _all_classes()
#: Names of the states a run cannot leave by itself.
FINISHED: frozenset[str] = frozenset(name for name, c in BY_NAME.items() if issubclass(c, Finished))


def names_of(parent: type[State]) -> tuple[str, ...]:
    """The names of `parent` and its descendants, sorted."""
    return tuple(sorted(name for name, c in BY_NAME.items() if issubclass(c, parent)))
