"""What every state has: a message, a result, and predicates to tell it by. The states themselves are in `states`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, ClassVar

from prefectlite import state_documents
from prefectlite.contexts import current_values
from prefectlite.errors import SerializationError


class _NoResult:
    """The type of NO_RESULT, of which there is one in a process: a copy of it, or one that was pickled, is it again."""

    def __reduce__(self) -> str:
        return "NO_RESULT"


#: Stands for "no result was given", which is not the same as the result None.
NO_RESULT: Any = _NoResult()
#: The exceptions that are being tried for whether they can be pickled, by id: one may refer to its own state.
_tried: ContextVar[frozenset[int]] = ContextVar("prefectlite_tried_exceptions", default=frozenset())


class State:
    """What a run is doing or how it ended: a message for people and, for a finished task, its result.

    `context` is what a later attempt needs to know; in a task run with tags it holds them under "tags". Two states are equal
    when they have the same type, result, cached inputs and details; message and context do not count. States can be pickled
    even where their exception cannot: its description takes its place then.
    """

    color: ClassVar[str] = "#696969"
    details: ClassVar[tuple[str, ...]] = ()  # attributes beyond message and result, in the order they are written
    kinds: ClassVar[frozenset[str]] = frozenset({"State"})  # names of the class and its ancestors, to tell states apart by
    _cached_inputs: dict[str, Any] | None = None

    def __init_subclass__(cls) -> None:
        cls.kinds = cls.kinds | {cls.__name__}

    def __init__(
        self,
        message: Any = None,
        result: Any = NO_RESULT,
        context: Mapping[str, Any] | None = None,
        cached_inputs: Mapping[str, Any] | None = None,
    ) -> None:
        self.message: str | None = message
        self._result = result
        self.context: dict[str, Any] = dict(context) if context else {}
        if cached_inputs:
            self._cached_inputs = dict(cached_inputs)
        if (tags := current_values().get("task_tags")) and "tags" not in self.context:
            self.context["tags"] = sorted(tags)

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
    def cached_inputs(self) -> dict[str, Any]:
        """The arguments of the task's run, by name, where somebody kept them."""
        if self._cached_inputs is None:
            self._cached_inputs = {}
        return self._cached_inputs

    @cached_inputs.setter
    def cached_inputs(self, value: Mapping[str, Any] | None) -> None:
        self._cached_inputs = dict(value) if value else None

    @property
    def name(self) -> str:
        """The state's class name, which is how the record and the API call it."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f'<{self.name}: "{self.message}">' if self.message else f"<{self.name}>"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or not isinstance(other, State):
            return False
        if not _same(self.result, other.result) or (self._cached_inputs or {}) != (other._cached_inputs or {}):
            return False
        return all(getattr(self, d) == getattr(other, d) for d in self.details)

    __hash__ = object.__hash__

    # -- as data ----------------------------------------------------------------------------------------------------

    def serialize(self) -> dict[str, Any]:
        """This state as a JSON object, without its result: `{"type": "Retrying", "message": …, "run_count": 2, …}`."""
        return state_documents.document_of(self)

    @staticmethod
    def deserialize(document: Mapping[str, Any]) -> State:
        """The state that `serialize()` made `document` of. Raises SerializationError if it describes none."""
        name = document.get("type") if isinstance(document, Mapping) else None
        cls = next((c for c in State.children(include_self=True) if c.__name__ == name), None)
        if cls is None:
            raise SerializationError(f"{document!r:.200} describes no state: its `type` must be the name of a state class")
        return state_documents.state_of(document, cls, State.deserialize)

    @classmethod
    def children(cls, include_self: bool = False, names_only: bool = False) -> list[Any]:
        """The classes derived from this one, or their names."""
        found: dict[type[State], None] = {}
        for child in cls.__subclasses__():
            found.update(dict.fromkeys([child, *child.children()]))
        return _listed([*found, cls] if include_self else [*found], names_only)

    @classmethod
    def parents(cls, include_self: bool = False, names_only: bool = False) -> list[Any]:
        """The state classes this one is derived from, the nearest first, or their names."""
        found = [c for c in cls.__mro__[1:] if issubclass(c, State)]
        return _listed([*found, cls] if include_self else found, names_only)

    def load_result(self, result: Any = None) -> State:
        """This state: its result is in it already. For code that was written for results which have to be read first."""
        return self

    def __copy__(self) -> State:
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def __getstate__(self) -> dict[str, Any]:
        error = self._result
        if not isinstance(error, Exception) or id(error) in _tried.get():
            return self.__dict__
        return {**self.__dict__, "_result": _portable(error)}

    # -- predicates: hot in the engine ------------------------------------------------------------------------------

    def is_pending(self) -> bool:
        return "Pending" in self.kinds

    def is_scheduled(self) -> bool:
        return "Scheduled" in self.kinds or "Queued" in self.kinds

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


def _same(one: Any, other: Any) -> bool:
    return one is other or bool(one == other)


def _listed(classes: list[type[State]], names_only: bool) -> list[Any]:
    public = [c for c in classes if not c.__name__.startswith("_")]
    return [c.__name__ for c in public] if names_only else public


def _portable(error: Exception) -> Any:
    """`error`, or its description where it cannot be pickled, or could not be unpickled."""
    import cloudpickle  # noqa: PLC0415 - rarely needed, and by itself half as heavy as this whole package

    token = _tried.set(_tried.get() | {id(error)})
    try:
        cloudpickle.dumps(error)
        copy.copy(error)  # made anew as unpickling would: fails where __init__ takes more arguments than the exception keeps
    except Exception as reason:
        return f"The following exception could not be pickled due to {reason!r}: {error!r}"
    finally:
        _tried.reset(token)
    return error
