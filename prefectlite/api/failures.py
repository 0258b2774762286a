"""Errors as GraphQL answers carry them: ours in their own words, all others masked and logged."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from graphql import GraphQLError, GraphQLSyntaxError

from prefectlite.api.requests import Answer
from prefectlite.errors import BadRequest, PrefectliteError, StoreError, StoreUnavailable

logger = logging.getLogger(__name__)

INTERNAL = "Unable to complete operation. An internal API error occurred."  # Prefect's clients know these words
INTERNAL_CODE = "API_ERROR"  # on which they try again
OUT_OF_REACH = f"{INTERNAL} The database cannot be used at the moment; the server says why where it runs."


def answer_errors(errors: Sequence[Exception], *, status: int) -> Answer:
    """An answer without data; 400 is for what could not begin to run."""
    answer: dict[str, Any] = {"errors": error_objects(errors)}
    return Answer(msgspec.json.encode(answer if status == 400 else {"data": None, **answer}), status)


def error_objects(errors: Sequence[Exception]) -> list[dict[str, Any]]:
    """The members of `errors`: message, code, and where in the query and the answer it was."""
    return [_object(error) for error in errors]


def _object(error: Exception) -> dict[str, Any]:
    message, code = _words(error)
    found: dict[str, Any] = {"message": message}
    if isinstance(error, GraphQLError):
        if error.locations:
            found["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
        if error.path:
            found["path"] = error.path
    found["extensions"] = {"code": code}
    return found


def _words(error: Exception) -> tuple[str, str]:
    cause: BaseException | None = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    if isinstance(cause, PrefectliteError) and not isinstance(cause, StoreError):  # paths and SQL are nobody's business
        return str(cause), cause.code
    if isinstance(cause, GraphQLError) and isinstance(error, GraphQLError):
        # Its own message: one that went through graphql-core's coercion says which variable and where.
        if isinstance(cause, GraphQLSyntaxError):
            return error.message, "GRAPHQL_PARSE_FAILED"
        return error.message, "GRAPHQL_VALIDATION_FAILED" if error.path is None else BadRequest.code
    logger.error("An operation failed", exc_info=cause)
    return OUT_OF_REACH if isinstance(cause, StoreUnavailable) else INTERNAL, INTERNAL_CODE
