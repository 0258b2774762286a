"""Functions that give plain values: they block, in scripts and in threads; on an event loop they refuse.

Inside a run they ask the session that executes it, and elsewhere the one that is open for the database in the settings, or
one of their own that is open for the length of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from prefectlite import hosting
from prefectlite.contexts import active_session, worker_process
from prefectlite.errors import FlowError, UnsupportedLoop
from prefectlite.orchestrator.calls import Ask, Call
from prefectlite.session import Session
from prefectlite.settings import current_settings

T = TypeVar("T")
Q = TypeVar("Q")
A = TypeVar("A")
Asked = Callable[[Session], Coroutine[Any, Any, T]]


def answer(name: str, asked: Asked[T], awaitable: str) -> T:
    """What `asked` gives of a session, for the function `name`; `awaitable` is what to await instead of it on a loop.

    Raises UnsupportedLoop there, FlowError in a worker process, and what `asked` raises.
    """
    check_can_wait(name, awaitable)
    settings = current_settings()
    if not hosting.joinable(settings):
        return asyncio.run(_on_a_loop_of_its_own(asked))
    host = hosting.join(settings)
    try:
        value: T = host.submit(asked).result()
    finally:
        host.leave()
    return value


class RecordElsewhere:
    """Answers where there is no session: whoever has the record is asked, on the loop that this was made on."""

    def __init__(self, ask: Ask) -> None:
        self._ask, self._loop = ask, asyncio.get_running_loop()

    def answer(self, name: str, call: Call[Q, A], question: Q) -> A:
        """The answer to a call, for the function `name`. Raises UnsupportedLoop on a loop, and what the call raises."""
        check_can_wait(name, f"asyncio.to_thread(lambda: {name})")

        async def ask() -> A:
            return await self._ask(call, question)

        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result()


def check_can_wait(name: str, awaitable: str) -> None:
    """Raises UnsupportedLoop on an event loop, FlowError in a worker process."""
    if worker_process.get():
        raise FlowError(
            f"{name} needs the database, which a worker process does not have: call it in a task without"
            " executor=ProcessExecutor(), and pass what it gives on"
        )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UnsupportedLoop(
        f"{name} would block the event loop: await {awaitable}, or asyncio.to_thread(…) with the function, or write the task"
        " as a plain function"
    )


def asks_a_server() -> bool:
    """Whether a server is to be asked rather than a database: one is set, and this is not part of a run here."""
    return bool(current_settings().api_url) and active_session.get() is None


async def _on_a_loop_of_its_own(asked: Asked[T]) -> T:
    host = hosting.join(current_settings())
    try:
        value: T = await asyncio.wrap_future(host.submit(asked))
    finally:
        if host.leave():
            await asyncio.shield(asyncio.wrap_future(host.closed))
    return value
