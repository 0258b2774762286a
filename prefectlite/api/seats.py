"""How many WebSockets may be open: all in all, for those who have shown no token so far, and for one token."""

from __future__ import annotations

from collections import Counter

from starlette.websockets import WebSocket

from prefectlite.api.caller import IDENTITY, caller_of
from prefectlite.api.gate import GATE
from prefectlite.client.tokens import Identity

MAX_CONNECTIONS = 256
#: Those who execute runs find room when all that is taken.
MORE_OF_AGENTS = 128
#: Of all, where tokens are asked for: nobody without one, and nobody with one, keeps all others out.
MAX_STRANGERS, MAX_OF_TOKEN = 64, 128


class Seats:
    """Those of one server."""

    def __init__(self) -> None:
        self._taken = self._strangers = 0
        self._of_token: Counter[str] = Counter()

    def seat(self, websocket: WebSocket) -> Seat | None:
        """One for this connection; None if there is no room for it."""
        goes_first, identity = _goes_first(websocket), websocket.scope.get(IDENTITY)
        is_stranger = identity is None and GATE in websocket.scope
        if self._taken >= MAX_CONNECTIONS + (MORE_OF_AGENTS if goes_first else 0):
            return None
        if is_stranger and self._strangers >= MAX_STRANGERS:
            return None
        seat = Seat(self, goes_first, is_stranger)
        self._taken += 1
        self._strangers += is_stranger
        if identity is not None and not seat.belongs_to(identity):
            seat.leave()
            return None
        return seat


class Seat:
    """One of the places, until it is left."""

    def __init__(self, seats: Seats, goes_first: bool, is_stranger: bool) -> None:
        self._seats, self._goes_first, self._is_stranger = seats, goes_first, is_stranger
        self._token: str | None = None

    def belongs_to(self, identity: Identity) -> bool:
        """Let it be one of those of this token from now on; False if these are too many."""
        of_token = self._seats._of_token
        self._stay_no_stranger()
        if self._token is None and identity.token_id and not self._goes_first:
            if of_token[identity.token_id] >= MAX_OF_TOKEN:
                return False
            self._token = identity.token_id
            of_token[self._token] += 1
        return True

    def leave(self) -> None:
        """Let others have it."""
        self._stay_no_stranger()
        self._seats._taken -= 1
        if self._token is not None:
            self._seats._of_token[self._token] -= 1
            if not self._seats._of_token[self._token]:
                del self._seats._of_token[self._token]

    def _stay_no_stranger(self) -> None:
        self._seats._strangers -= self._is_stranger
        self._is_stranger = False


def _goes_first(websocket: WebSocket) -> bool:
    """Whether this is one who executes runs, as far as is known before the first message."""
    caller = caller_of(websocket)
    return caller.goes_first and (caller.is_known or GATE not in websocket.scope)
