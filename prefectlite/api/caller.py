"""Who asks: what the headers of a request say of the program that sent it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from prefectlite.ids import is_id
from prefectlite.repository.flows import FOREIGN, OWN


class Caller(msgspec.Struct, frozen=True):
    """The program at the other end. Clients of Prefect 1.x name their version, its agents who they are."""

    core_version: str | None = None
    agent_id: str | None = None

    @property
    def runtime(self) -> str:
        """What can execute the flows that this program registers, and whose runs it asks for."""
        return OWN if self.core_version is None else FOREIGN


def caller_of(headers: Mapping[str, str]) -> Caller:
    """The caller that sends these headers."""
    agent = headers.get("x-prefect-agent-id", "")
    return Caller(headers.get("x-prefect-core-version") or None, agent.lower() if is_id(agent) else None)
