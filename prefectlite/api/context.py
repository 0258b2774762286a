"""What the resolvers are given beside their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from prefectlite.session import Session


class Context(msgspec.Struct, frozen=True):
    """The session that an operation works on, and its variables as they were sent."""

    session: Session
    raw_variables: Mapping[str, Any]
