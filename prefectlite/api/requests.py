"""What a caller sends, whichever way it comes: one GraphQL operation, or a batch of them. Knows nothing of graphql-core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from prefectlite.errors import BadRequest

MAX_BATCH = 25


class Request(msgspec.Struct, frozen=True):
    """One operation, not yet looked into."""

    query: str
    variables: Mapping[str, Any]
    operation_name: str | None


class Answer(msgspec.Struct, frozen=True):
    """The JSON to send back, and the HTTP status that fits it."""

    body: bytes
    status: int = 200


def failure(message: str, code: str, status: int) -> Answer:
    """An answer that says only what went wrong."""
    return Answer(msgspec.json.encode({"errors": [{"message": message, "extensions": {"code": code}}]}), status)


def requests_of(body: bytes) -> Request | list[Request]:
    """The operation that `body` holds, or the list of them. Raises BadRequest for anything else."""
    value = _json(body, "The body")
    if not isinstance(value, list):
        return request_of(value)
    if not 0 < len(value) <= MAX_BATCH:
        raise BadRequest(f"A batch holds 1 to {MAX_BATCH} operations, this one {len(value)}")
    return [request_of(item) for item in value]


def request_of(value: Any) -> Request:
    """The operation that a decoded object describes. Raises BadRequest, naming the member that does not fit."""
    if not isinstance(value, dict):
        raise BadRequest("A request is an object with `query`, and perhaps `variables` and `operationName`")
    query = value.get("query")
    if not isinstance(query, str) or not query.strip():
        raise BadRequest("`query` is missing: it is the text of the GraphQL document")
    variables = value.get("variables")
    if isinstance(variables, str):  # as Prefect's own client sends them
        variables = _json(variables.encode(errors="replace"), "`variables`") if variables.strip() else None
    if variables is not None and not isinstance(variables, dict):
        raise BadRequest("`variables` is not an object")
    name = value.get("operationName")
    if name is not None and not isinstance(name, str):
        raise BadRequest("`operationName` is not a text")
    return Request(query, variables or {}, name or None)


def _json(text: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"{what} is not JSON: {error}") from None
    except RecursionError:
        raise BadRequest(f"{what} is nested too deeply") from None
