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
RETRY_DELAYS = (0.05, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0)
#: Seconds after which somebody is told once more that an outage goes on.
REMINDER = 60.0

_logger = logging.getLogger("prefectlite")


class Outage:
    """What is said of times in which the database cannot be used: that one begins, every minute that it goes on, its end."""

    def __init__(self, what: str) -> None:
        """Of `what`, which cannot be written or read then."""
        self._what = what
        self._told_at: float | None = None

    def goes_on(self, error: StoreUnavailable) -> None:
        """Something could not be done, because of `error`."""
        now = asyncio.get_running_loop().time()
        if self._told_at is None or now - self._told_at >= REMINDER:
            self._told_at = now
            _logger.warning("%s wait until the database can be used: %s", self._what, error)

    def is_over(self) -> None:
        """Something could be done."""
        if self._told_at is not None:
            self._told_at = None
            _logger.warning("%s wait no longer: the database can be used again", self._what)


async def written(
    database: Database,
    work: Callable[[Transaction], Awaitable[T]],
    outage: Outage,
    *,
    durable: bool = False,
) -> T:
    """What `work` returned, after the commit. While the database cannot be used it is tried again, for some seconds.

    The commit may have been made all the same: writing it twice must be writing it once. Raises StoreUnavailable in the end.
    """
    return await done_at_last(lambda: database.write(work, durable=durable), outage)


async def done_at_last(act: Callable[[], Awaitable[T]], outage: Outage) -> T:
    """What `act` gives, tried again for some seconds while the record cannot be used. Raises StoreUnavailable in the end."""
    for delay in (*RETRY_DELAYS, None):
        try:
            result = await act()
        except StoreUnavailable as error:
            outage.goes_on(error)
            if delay is None:
                raise
            await asyncio.sleep(delay)
        else:
            outage.is_over()
            return result
    raise AssertionError  # the last time returns or raises


async def read_at_last(ask: Callable[[], Awaitable[T]], what: str) -> T:
    """The answer of `ask`, which only reads: it is asked again until the database can be used."""
    outage = Outage(what)
    for delay in itertools.chain(RETRY_DELAYS, itertools.repeat(RETRY_DELAYS[-1])):
        try:
            answer = await ask()
        except StoreUnavailable as error:
            outage.goes_on(error)
            await asyncio.sleep(delay)
        else:
            outage.is_over()
            return answer
    raise AssertionError  # it goes on for ever
