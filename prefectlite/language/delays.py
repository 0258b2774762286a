"""How long to wait before a task is tried again."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from prefectlite.errors import FlowError

#: One delay in seconds or as a timedelta, one per retry (the last one repeats), or a function from the number of the attempt
#: that failed (from 1) to the delay.
RetryDelay = timedelta | float | Sequence[timedelta | float] | Callable[[int], timedelta | float]
#: A delay as tasks keep it.
KeptDelay = timedelta | tuple[timedelta, ...] | Callable[[int], timedelta | float] | None


def duration(value: Any, what: str) -> timedelta:
    """`value` seconds, or the timedelta that it is. Raises TypeError or FlowError, naming `what`."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number of seconds or a timedelta, not {value!r}")
    try:
        return timedelta(seconds=value)
    except (OverflowError, ValueError):  # ValueError: not a number
        raise FlowError(f"{what} cannot be {value!r} seconds") from None


def delay(value: Any, what: str) -> timedelta:
    """`value` as a duration that may be nothing, but not less. Raises TypeError or FlowError, naming `what`."""
    wait = duration(value, what)
    if wait < timedelta(0):
        raise FlowError(f"{what} cannot be negative: {value!r}")
    return wait


def kept_delay(value: Any, what: str) -> KeptDelay:
    """A retry delay, checked. Raises TypeError or FlowError, naming `what`."""
    if value is None:
        return None
    if isinstance(value, list | tuple):
        if not value:
            raise FlowError(f"{what} must be at least one delay, not an empty {type(value).__name__}")
        return tuple(delay(item, what) for item in value)
    if callable(value):
        return value  # type: ignore[no-any-return]
    return delay(value, what)


def delay_after(kept: KeptDelay, attempt: int, what: str) -> timedelta:
    """The delay after the given attempt (the first one is 1) has failed; none at all if nothing is kept.

    Raises what a function of the user's raises, and TypeError or FlowError if it returns something else than a delay.
    """
    if kept is None:
        return timedelta(0)
    if isinstance(kept, timedelta):
        return kept
    if isinstance(kept, tuple):
        return kept[min(attempt, len(kept)) - 1]
    return delay(kept(attempt), what)


@dataclasses.dataclass(frozen=True)
class Backoff:
    """What `exponential_backoff` returns: the number of the attempt that failed -> the delay."""

    first: timedelta
    factor: float
    limit: timedelta
    jitter: float
    random: Callable[[], float]

    def __call__(self, attempt: int) -> timedelta:
        try:
            wait = min(self.first * self.factor ** (attempt - 1), self.limit)
        except OverflowError:
            wait = self.limit
        return min(wait * (1 + self.jitter * (2 * self.random() - 1)), self.limit)


def exponential_backoff(
    first: timedelta | float = 1,
    factor: float = 2,
    limit: timedelta | float = 3600,
    jitter: float = 0.2,
    *,
    random: Callable[[], float] = random.random,
) -> Backoff:
    """A `retry_delay` that grows: `first`, then `factor` times as long after each attempt, never longer than `limit`.

    Each delay is made longer or shorter by up to the share `jitter` (0 to 1) of it, so that what failed together does not
    come back together; `random` gives the numbers from 0 to 1 for that. Raises FlowError for values that cannot be used.
    """
    if factor < 1 or not 0 <= jitter <= 1:
        raise FlowError(f"exponential_backoff() needs a factor of at least 1 and a jitter from 0 to 1: {factor}, {jitter}")
    return Backoff(delay(first, "`first`"), factor, delay(limit, "`limit`"), jitter, random)
