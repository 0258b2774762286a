"""What the resolvers are given beside their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from prefectlite.api.caller import Caller
from prefectlite.client.remits import Remit
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
        caller = self.caller
        return Remit(self.session.database, caller.token_id) if caller.role is Role.AGENT else None
