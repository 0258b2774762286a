"""Errors as they are named on the wire: by their codes."""

from __future__ import annotations

from collections.abc import Iterator

from prefectlite import errors
from prefectlite.errors import BadRequest, Forbidden, PrefectliteError


def error_named(code: str, message: str) -> PrefectliteError:
    """The error that an answer names by this code; of several with one code, the most general."""
    return _CLASSES.get(code, PrefectliteError)(message)


def _all(cls: type[PrefectliteError]) -> Iterator[type[PrefectliteError]]:
    for below in cls.__subclasses__():
        yield from _all(below)
        yield below


_CLASSES: dict[str, type[PrefectliteError]] = {
    cls.code: cls for cls in _all(PrefectliteError) if cls.__module__ == errors.__name__
}
_CLASSES |= dict.fromkeys(("GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"), BadRequest)
_CLASSES["UNAUTHENTICATED"] = Forbidden
