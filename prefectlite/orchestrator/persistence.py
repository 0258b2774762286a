"""Writing what must not be lost, and reading what is needed, while the database is out of reach: locked, full, restarted."""

from __future__ import annotations

import asyncio
import itertools
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
) -> T:
    """What `work` returned, after the commit. While the database cannot be used it is tried again.

    The commit may have been made all the same: writing it twice must be writing it once. Raises StoreUnavailable in the end.
    """
    for delay in RETRY_DELAYS:
        try:
            return await database.write(work, durable=durable)
        except StoreUnavailable as error:
            _logger.warning("%s cannot be written now, and are tried again in %s s: %s", what, delay, error)
            await asyncio.sleep(delay)
    return await database.write(work, durable=durable)


async def read_at_last(ask: Callable[[], Awaitable[T]], what: str) -> T:
    """The answer of `ask`, which only reads: it is asked again until the database can be used."""
    for delay in itertools.chain(RETRY_DELAYS, itertools.repeat(RETRY_DELAYS[-1])):
        try:
            return await ask()
        except StoreUnavailable as error:
            _logger.warning("%s cannot be read now, and are tried again in %s s: %s", what, delay, error)
            await asyncio.sleep(delay)
    raise AssertionError  # it goes on for ever
