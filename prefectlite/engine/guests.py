"""Coroutines of users that have a limit of time: in tasks of their own, which can be left behind if they do not end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from prefectlite.kept import kept

_logger = logging.getLogger("prefectlite.TaskRunner")
#: Guests that were left behind: without a reference, a task that still runs could be collected.
_left_behind: set[asyncio.Task[Any]] = set()


class TimedOutError(Exception):
    """The task's own timeout passed (a TimeoutError may also be the user's)."""


async def in_time(work: Coroutine[Any, Any, Any], timeout: float, patience: float, label: str) -> Any:
    """What `work` results in. Raises TimedOutError when it takes longer than `timeout` seconds.

    It is cancelled then, as it is with who waits for it, and has `patience` seconds to end before it is left behind.
    """
    guest = kept(asyncio.get_running_loop().create_task(work, name=label))
    try:
        done, _ = await asyncio.wait([guest], timeout=timeout)
    except asyncio.CancelledError:
        await dismiss([guest], patience)
        raise
    if not done:
        await dismiss([guest], patience)
        raise TimedOutError
    return guest.result()


async def dismiss(guests: list[asyncio.Task[Any]], patience: float) -> None:
    """Cancel these and wait for them to end, but no longer than `patience` seconds: who swallows it is left behind."""
    for guest in guests:
        guest.cancel()
    try:
        await asyncio.wait(guests, timeout=patience)
    finally:  # cancelled itself, it has no patience left
        _let_go(guests)


def _let_go(guests: list[asyncio.Task[Any]]) -> None:
    staying = [guest for guest in guests if not guest.done()]
    for guest in staying:
        _logger.warning(
            "Task '%s' goes on although it was cancelled: its code swallows asyncio.CancelledError; it is left behind",
            guest.get_name(),
        )
        _left_behind.add(guest)
        guest.add_done_callback(_gone)
    for guest in guests:
        if guest not in staying and not guest.cancelled():
            guest.exception()  # what it raised while it was stopped is of no interest


def _gone(guest: asyncio.Task[Any]) -> None:
    _left_behind.discard(guest)
    if not guest.cancelled():
        guest.exception()
