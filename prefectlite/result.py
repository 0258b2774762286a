"""Results: what says where the value a task returns is kept, and how. Those that use files are in `prefectlite.results`."""

from __future__ import annotations

import copy
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self

from prefectlite.errors import ResultNotImplementedError
from prefectlite.loggers import get_logger
from prefectlite.serializers import DateTimeSerializer, JSONSerializer, PickleSerializer, Serializer

Location = str | Callable[..., str]


class Result:
    """A value and the place it is kept at; this one keeps it in memory only.

    `location` is a path or a template of one, such as `"{flow_name}/{date:%Y-%m-%d}/{task_name}.bin"`, or a function
    that is called with the same values as keywords. The methods return new results and change none. Two are equal when
    type and public attributes are.
    """

    def __init__(self, value: Any = None, location: Location | None = None, serializer: Serializer | None = None) -> None:
        self.value = value
        self.serializer = PickleSerializer() if serializer is None else serializer
        self._formatter = location if callable(location) else None
        self.location: str | None = None if callable(location) else location

    @property
    def default_location(self) -> str:
        """A new one, for a value that is kept where none was given."""
        now = datetime.now(UTC)
        return f"{now.year}/{now.month}/{now.day}/{uuid.uuid4()}.prefect_result"

    @property
    def logger(self) -> logging.Logger:
        """The logger of this kind of result."""
        return get_logger(type(self).__name__)

    def copy(self) -> Self:
        """Another one, equal to this."""
        return copy.copy(self)

    def at(self, location: Location) -> Self:
        """A copy whose location, template or function is `location`."""
        new = self.copy()
        new._formatter = location if callable(location) else None
        new.location = None if callable(location) else location
        return new

    def from_value(self, value: Any) -> Self:
        """A copy that has `value` and, so far, no location."""
        new = self.copy()
        new.value, new.location = value, None
        return new

    def format(self, /, **kwargs: Any) -> Self:
        """A copy whose location is filled in from `kwargs`; a new default one where none was given.

        Raises KeyError, as `str.format` does, for a name that is not among them.
        """
        new = self.copy()
        if self._formatter is not None:
            new.location = self._formatter(**kwargs)
        elif self.location is not None:
            new.location = self.location.format(**kwargs)
        else:
            new.location = self.default_location
        return new

    def read(self, location: str, /) -> Self:
        """A copy with the value that is kept at `location`."""
        raise ResultNotImplementedError(_NOT_IMPLEMENTED)

    def write(self, value_: Any, /, **kwargs: Any) -> Self:
        """A copy with this value, which is now kept at its location, filled in from `kwargs`."""
        raise ResultNotImplementedError(_NOT_IMPLEMENTED)

    def exists(self, location: str, /, **kwargs: Any) -> bool:
        """Whether a value is kept at `location`, filled in from `kwargs`."""
        raise ResultNotImplementedError(_NOT_IMPLEMENTED)

    def _public(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Result):
            return False
        return self.serializer == other.serializer and self._public() == other._public()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.value!r}>"


_NOT_IMPLEMENTED = (
    "Not implemented on the base Result class - if you are seeing this error you might be trying to use features that"
    " require choosing a Result subclass, such as prefectlite.results.LocalResult"
)


class NoResultType(Result):
    """The type of NoResult."""

    def __reduce__(self) -> str:
        return "NoResult"


#: Stands for "no result was given"; equal to nothing else.
NoResult = NoResultType()


class PrefectResult(Result):
    """A small value that is kept as JSON in the location itself. Raises TypeError for a serializer that writes no text."""

    def __init__(self, value: Any = None, location: Location | None = None, serializer: Serializer | None = None) -> None:
        super().__init__(value, location, JSONSerializer() if serializer is None else serializer)

    @property
    def serializer(self) -> Serializer:
        """JSONSerializer or DateTimeSerializer."""
        return self._serializer

    @serializer.setter
    def serializer(self, serializer: Serializer) -> None:
        if not isinstance(serializer, JSONSerializer | DateTimeSerializer):
            raise TypeError("PrefectResult only supports JSONSerializer or DateTimeSerializer")
        self._serializer = serializer

    def read(self, location: str, /) -> Self:
        new = self.copy()
        new.value, new.location = self.serializer.deserialize(location.encode()), location
        return new

    def write(self, value_: Any, /, **kwargs: Any) -> Self:
        new = self.copy()
        new.value, new.location = value_, self.serializer.serialize(value_).decode()
        return new

    def exists(self, location: str, /, **kwargs: Any) -> bool:
        try:
            self.serializer.deserialize(location.encode())
        except (ValueError, AttributeError):  # an AttributeError: it is no text at all
            return False
        return True


class ConstantResult(Result):
    """A value known when the flow is written: always there, never written."""

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.get("serializer") is not None:
            raise ValueError("Can't pass a serializer to a ConstantResult.")
        super().__init__(**kwargs)

    def read(self, location: str, /) -> Self:
        return self

    def write(self, value_: Any, /, **kwargs: Any) -> Self:
        raise ValueError("Cannot write values to `ConstantResult` types.")

    def exists(self, location: str, /, **kwargs: Any) -> bool:
        return True
