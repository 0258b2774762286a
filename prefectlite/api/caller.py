"""Who asks: what the headers of a request say of the program that sent it, and whose token it showed."""

from __future__ import annotations

import msgspec
from starlette.requests import HTTPConnection

from prefectlite.client.tokens import Bounds, Identity
from prefectlite.ids import is_id
from prefectlite.repository.flows import FOREIGN, OWN
from prefectlite.roles import AGENTS, Role

#: Where the gate leaves, in the scope of a request, whose token it was.
IDENTITY = "prefectlite.identity"


class Caller(msgspec.Struct, frozen=True):
    """The program at the other end. Clients of Prefect 1.x name their version, its agents who they are.

    Where no tokens are asked for, everybody is `local` and may do everything.
    """

    core_version: str | None = None
    agent_id: str | None = None
    role: Role = Role.ADMIN
    actor: str = "local"
    address: str | None = None
    is_known: bool = False  # by a token
    token_id: str = ""
    bounds: Bounds = Bounds()
    own_version: str | None = None  # of this package, for its own programs
    is_executor: bool = False  # an agent of this package, or a process that it has started

    @property
    def goes_first(self) -> bool:
        """Whether it hears of news before others: who executes runs."""
        return self.is_executor and self.role in AGENTS

    @property
    def runtime(self) -> str:
        """What can execute the flows that this program registers, and whose runs it asks for."""
        return OWN if self.core_version is None else FOREIGN


def caller_of(connection: HTTPConnection, identity: Identity | None = None) -> Caller:
    """The caller that sends this request; `identity` is what it showed after the headers, if anything."""
    headers, client = connection.headers, connection.scope.get("client")
    agent = headers.get("x-prefect-agent-id", "")
    caller = Caller(
        headers.get("x-prefect-core-version") or None,
        agent.lower() if is_id(agent) else None,
        address=client[0] if client else None,
        own_version=headers.get("x-prefectlite-version"),
        is_executor="x-prefectlite-executor" in headers,
    )
    found: Identity | None = identity or connection.scope.get(IDENTITY)
    if found is None:
        return caller
    known = {"role": found.role, "actor": found.actor, "token_id": found.token_id, "bounds": found.bounds}
    return msgspec.structs.replace(caller, is_known=True, **known)
