"""Services that must not take anything else with them when they fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

_DELAYS = (0.1, 0.5, 2.0, 10.0)
_logger = logging.getLogger("prefectlite")


async def restarting(name: str, service: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Keep a service going until it returns: a failure is logged, and it begins again after a longer pause each time."""
    failures = 0
    while True:
        try:
            return await service()
        except Exception:
            delay = _DELAYS[min(failures, len(_DELAYS) - 1)]
            failures += 1
            _logger.exception("the %s failed and is started again in %s s", name, delay)
            await asyncio.sleep(delay)
