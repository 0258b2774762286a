"""The states of flow runs and task runs, with Prefect 1.x's names, colours, predicates and order of arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from prefectlite.clock import current_time
from prefectlite.contexts import context as current
from prefectlite.state import NO_RESULT
from prefectlite.state import State as State

_Values = Mapping[str, Any] | None


class Pending(State):
    """Not begun."""

    color = "#7ebdff"

    def __init__(
        self, message: Any = None, result: Any = NO_RESULT, cached_inputs: _Values = None, context: _Values = None
    ) -> None:
        super().__init__(message, result, context, cached_inputs)


class Scheduled(Pending):
    """To be begun at `start_time` (now, when not given)."""

    color = "#ffab00"
    details: ClassVar[tuple[str, ...]] = ("start_time",)
    _from_now = True

    def __init__(
        self,
        message: Any = None,
        result: Any = NO_RESULT,
        start_time: datetime | None = None,
        cached_inputs: _Values = None,
        context: _Values = None,
    ) -> None:
        super().__init__(message, result, cached_inputs, context)
        self.start_time = _aware(start_time) or (current_time() if self._from_now else None)
        if (count := current.get("task_run_count")) is not None:
            self.context["task_run_count"] = count


class Paused(Scheduled):
    """Waiting for a person, or until `start_time` where one is given."""

    color = "#99a8e8"
    _from_now = False


class Resume(Scheduled):
    """Allowed to go on after a pause."""

    color = "#f58c0c"


class Retrying(Scheduled):
    """Failed, and to be tried again at `start_time`; `run_count` is the attempt that failed (1, 2, …)."""

    color = "#f66a0a"
    details = ("start_time", "run_count")

    def __init__(
        self,
        message: Any = None,
        result: Any = NO_RESULT,
        start_time: datetime | None = None,
        context: _Values = None,
        cached_inputs: _Values = None,
        run_count: int | None = None,
    ) -> None:
        super().__init__(message, result, start_time, cached_inputs, context)
        self.run_count: int = current.get("task_run_count", 1) if run_count is None else run_count


class Running(State):
    """Executing."""

    color = "#3d67ff"


class Cancelling(Running):
    """Asked to stop, and stopping."""

    color = "#E8E8E8"


class _MetaState(State):
    """A state around another one; `state` is the innermost that is no such wrapping."""

    details: ClassVar[tuple[str, ...]] = ("state",)

    def __init__(
        self,
        message: Any = None,
        result: Any = NO_RESULT,
        state: State | None = None,
        context: _Values = None,
        cached_inputs: _Values = None,
    ) -> None:
        super().__init__(message, result, context, cached_inputs)
        self.state = state

    @property
    def state(self) -> State | None:
        return self._state

    @state.setter
    def state(self, value: State | None) -> None:
        self._state = value.state if isinstance(value, _MetaState) else value


class Submitted(_MetaState):
    """Given to an executor."""

    color = "#ffdf5d"


class Queued(_MetaState):
    """Held back until a limit allows it, at the earliest at `start_time`."""

    color = "#ffea7f"
    details = ("state", "start_time")

    def __init__(
        self,
        message: Any = None,
        result: Any = NO_RESULT,
        state: State | None = None,
        start_time: datetime | None = None,
        context: _Values = None,
        cached_inputs: _Values = None,
    ) -> None:
        super().__init__(message, result, state, context, cached_inputs)
        self.start_time = _aware(start_time) or current_time()


class ClientFailed(_MetaState):
    """The executor could not report `state`."""

    color = "#eb0000"


class Finished(State):
    """Ended."""

    color = "#003ccb"


class Looped(Finished):
    """One round of a loop ended; `loop_count` rounds so far."""

    details = ("loop_count",)

    def __init__(
        self,
        message: Any = None,
        result: Any = NO_RESULT,
        loop_count: int | None = None,
        context: _Values = None,
        cached_inputs: _Values = None,
    ) -> None:
        super().__init__(message, result, context, cached_inputs)
        self.loop_count: int = current.get("task_loop_count", 1) if loop_count is None else loop_count


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
        message: Any = None,
        result: Any = NO_RESULT,
        cached_inputs: _Values = None,
        cached_parameters: dict[str, Any] | None = None,
        cached_result_expiration: datetime | None = None,
        context: _Values = None,
        hashed_inputs: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, result, context, cached_inputs)
        self.hashed_inputs = hashed_inputs
        self.cached_parameters = cached_parameters
        self.cached_result_expiration = _aware(cached_result_expiration)


class Mapped(Success):
    """Turned into children, one per element; `map_states` are theirs, in order, and `result` the list of their results."""

    color = "#003ccb"
    details = ("n_map_states",)

    def __init__(
        self,
        message: Any = None,
        result: Any = NO_RESULT,
        map_states: Iterable[State | None] | None = None,
        context: _Values = None,
        cached_inputs: _Values = None,
        n_map_states: int | None = None,
    ) -> None:
        super().__init__(message, result, context, cached_inputs)
        self.map_states: list[State | None] = list(map_states or [])
        self._n_map_states = n_map_states

    @property
    def n_map_states(self) -> int:
        """How many children there are, whether their states are known or not."""
        return self._n_map_states or len(self.map_states)

    @n_map_states.setter
    def n_map_states(self, value: int | None) -> None:
        self._n_map_states = value

    @property
    def result(self) -> Any:
        if self._result is not NO_RESULT:
            return self._result
        return [None if state is None else state.result for state in self.map_states]

    @result.setter
    def result(self, value: Any) -> None:
        self._result = value

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and isinstance(other, Mapped) and self.map_states == other.map_states

    __hash__ = State.__hash__


class Skipped(Success):
    """Not run, on purpose."""

    color = "#62757f"


class Failed(Finished):
    """Ended badly; `result` is the exception where there was one."""

    color = "#eb0000"

    def __init__(
        self, message: Any = None, result: Any = NO_RESULT, cached_inputs: _Values = None, context: _Values = None
    ) -> None:
        super().__init__(message, result, context, cached_inputs)


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


#: Every state class by its name, as the record and the API write it.
BY_NAME: dict[str, type[State]] = {c.__name__: c for c in State.children(include_self=True)}
#: Names of the states a run cannot leave by itself.
FINISHED: frozenset[str] = frozenset(name for name, c in BY_NAME.items() if issubclass(c, Finished))


def names_of(parent: type[State]) -> tuple[str, ...]:
    """The names of `parent` and its descendants, sorted."""
    return tuple(sorted(name for name, c in BY_NAME.items() if issubclass(c, parent)))
