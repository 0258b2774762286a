"""What the resolvers are given beside their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from prefectlite.api.caller import Caller
from prefectlite.client.remits import Remit
from prefectlite.repository.database import Database
from prefectlite.roles import Role

if TYPE_CHECKING:
    from prefectlite.session import Session


class Context(msgspec.Struct, frozen=True):
    """The session that an operation works on, its variables as they were sent, and who sent them."""

    session: Session
    raw_variables: Mapping[str, Any]
    caller: Caller

    @property
    def remit(self) -> Remit | None:
        """To which runs the caller is confined; None for those who may do more than agents."""
        return remit_of(self.session.database, self.caller)


def remit_of(database: Database, caller: Caller) -> Remit | None:
    """To which runs `caller` is confined; None for those who may do more than agents and the code of runs."""
    return Remit(database, caller.token_id, caller.bounds) if caller.role in (Role.AGENT, Role.RUN) else None
