"""What an answer says of an error: ours in their own words, nothing of others."""

from __future__ import annotations

import logging

import pytest
from graphql import GraphQLError

from prefectlite.api.failures import INTERNAL, error_objects
from prefectlite.api.websocket import INIT_TIMEOUT
from prefectlite.errors import BadRequest, StoreError, StoreUnavailable

SECRET = "postgresql://me:canary@10.0.0.1/runs"


@pytest.mark.parametrize("error", [ValueError(SECRET), StoreError(SECRET), StoreUnavailable(SECRET), KeyError(SECRET)])
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_what_is_not_for_others_is_not_told(error: Exception, is_wrapped: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        [told] = error_objects([GraphQLError("canary", original_error=error) if is_wrapped else error])
    assert "canary" not in repr(told)
    assert told["message"].startswith(INTERNAL)
    assert told["extensions"] == {"code": "API_ERROR"}
    assert "canary" in caplog.text  # where the server runs it is found


def test_ours_are_told() -> None:
    assert error_objects([BadRequest("limit: at most 3")]) == [
        {"message": "limit: at most 3", "extensions": {"code": "BAD_USER_INPUT"}}
    ]


def test_who_says_nothing_on_a_websocket_is_not_waited_for_long() -> None:
    assert INIT_TIMEOUT <= 5
