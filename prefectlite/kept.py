"""Tasks that the end of an event loop must not reach by itself."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

AnyTask = TypeVar("AnyTask", bound=asyncio.Task[Any])


def kept(task: AnyTask) -> AnyTask:
    """`task`, out of `asyncio.all_tasks()`, so that only who made it cancels it. Who made it must see it to its end.

    `asyncio.run` and test runners cancel every task of a loop that ends, all at once: what a session does for its runs, such
    as writing down that they were cancelled, would be cut off together with them. The session itself stays in sight and ends
    its own in good order.
    """
    asyncio.tasks._unregister_task(task)
    return task
