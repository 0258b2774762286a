"""Writing what must not be lost because the database is out of reach for a moment: locked, full, restarted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from prefectlite.errors import StoreUnavailable
from prefectlite.repository.database import Database, Transaction

T = TypeVar("T")
#: Pauses, in seconds, after which it is tried again.
RETRY_DELAYS = (0.05, 0.5, 2.0, 5.0)

_logger = logging.getLogger("prefectlite")


async def written(
    database: Database,
    work: Callable[[Transaction], Awaitable[T]],
    what: str,
    *,
    durable: bool = False,
    again: Callable[[], None] | None = None,
) -> T:
    """What `work` returned, after the commit. While the database cannot be used it is tried again, `again` called before.

    The commit may have been made all the same: writing it twice must be writing it once. Raises StoreUnavailable in the end.
    """
    for delay in RETRY_DELAYS:
        try:
            return await database.write(work, durable=durable)
        except StoreUnavailable as error:
            _logger.warning("%s cannot be written now, and are tried again in %s s: %s", what, delay, error)
            await asyncio.sleep(delay)
            if again is not None:
                again()
    return await database.write(work, durable=durable)
