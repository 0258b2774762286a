"""What every state has: a message, a result, and predicates to tell it by. The states themselves are in `states`."""

from __future__ import annotations

from typing import Any, ClassVar


class _NoResult:
    """The type of NO_RESULT, of which there is one in a process: a copy of it, or one that was pickled, is it again."""

    def __reduce__(self) -> str:
        return "NO_RESULT"


#: Stands for "no result was given", which is not the same as the result None.
NO_RESULT: Any = _NoResult()


class State:
    """What a run is doing or how it ended: a message for people and, for a finished task, its result.

    Two states are equal when they have the same type, result and details; message and context do not count.
    """

    color: ClassVar[str] = "#696969"
    details: ClassVar[tuple[str, ...]] = ()  # attributes beyond message and result, in the order they are written
    kinds: ClassVar[frozenset[str]] = frozenset({"State"})  # names of the class and its ancestors, to tell states apart by

    def __init_subclass__(cls) -> None:
        cls.kinds = cls.kinds | {cls.__name__}

    def __init__(
        self, message: str | None = None, result: Any = NO_RESULT, *, context: dict[str, Any] | None = None
    ) -> None:
        self.message = message
        self._result = result
        self.context: dict[str, Any] = context if context is not None else {}

    @property
    def result(self) -> Any:
        """The value the run ended with: what a task returned, the exception of a failed one, None when there is none."""
        return None if self._result is NO_RESULT else self._result

    @result.setter
    def result(self, value: Any) -> None:
        self._result = value

    @property
    def has_result(self) -> bool:
        """Whether a result was given, be it None."""
        return self._result is not NO_RESULT

    @property
    def name(self) -> str:
        """The state's class name, which is how the record and the API call it."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f'<{self.name}: "{self.message}">' if self.message else f"<{self.name}>"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, State):
            return False
        return self._result == other._result and all(getattr(self, d) == getattr(other, d) for d in self.details)

    __hash__ = object.__hash__

    def is_pending(self) -> bool:
        return "Pending" in self.kinds

    def is_scheduled(self) -> bool:
        return not self.kinds.isdisjoint(("Scheduled", "Queued"))

    def is_submitted(self) -> bool:
        return "Submitted" in self.kinds

    def is_queued(self) -> bool:
        return "Queued" in self.kinds

    def is_retrying(self) -> bool:
        return "Retrying" in self.kinds

    def is_running(self) -> bool:
        return "Running" in self.kinds

    def is_finished(self) -> bool:
        return "Finished" in self.kinds

    def is_looped(self) -> bool:
        return "Looped" in self.kinds

    def is_successful(self) -> bool:
        return "Success" in self.kinds

    def is_cached(self) -> bool:
        return "Cached" in self.kinds

    def is_mapped(self) -> bool:
        return "Mapped" in self.kinds

    def is_skipped(self) -> bool:
        return "Skipped" in self.kinds

    def is_failed(self) -> bool:
        return "Failed" in self.kinds

    def is_meta_state(self) -> bool:
        return "_MetaState" in self.kinds
