"""One session per process and database, shared by everything in the process that needs it.

A session lives in a task of its own on the event loop of whoever needed it first; others join it, from any loop or thread.
It closes when the last of its users has left. Joining and leaving only signal that task, so that they may happen in
different tasks: in fixtures, in notebooks, in request handlers.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from prefectlite.clock import Clock
from prefectlite.contexts import active_session
from prefectlite.errors import RunInterrupted
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings

_logger = logging.getLogger("prefectlite")
_open: dict[str, SessionHost] = {}
_lock = threading.Lock()


class SessionHost:
    """A session and those who use it."""

    def __init__(self, settings: Settings, clock: Clock | None) -> None:
        self.settings = settings
        self.url = settings.resolved_database_url()
        self.loop = asyncio.get_running_loop()
        self.closed: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._clock = clock
        self._users = 0
        self._leave = asyncio.Event()
        self._ready: asyncio.Future[Session] = self.loop.create_future()
        self._runs: set[asyncio.Task[Any]] = set()
        # A context of its own: what is current for the first user must not be for the session.
        self._task = self.loop.create_task(self._live(), name="prefectlite session", context=contextvars.Context())

    async def session(self) -> Session:
        """The session, once it is open; on its own loop. Raises StoreError if it cannot be opened."""
        return await asyncio.shield(self._ready)

    def submit(self, work: Callable[[Session], Coroutine[Any, Any, Any]]) -> concurrent.futures.Future[Any]:
        """The outcome of `work(session)`, run on the session's loop with the caller's context variables. From any thread."""
        outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
        context = contextvars.copy_context()
        context.run(active_session.set, self)

        def begin() -> None:
            task = self.loop.create_task(self._work(work, outcome), context=context)
            self._runs.add(task)
            task.add_done_callback(self._runs.discard)

        self.loop.call_soon_threadsafe(begin)
        return outcome

    @property
    def is_open(self) -> bool:
        """Whether it can be joined."""
        return self._users > 0 and not self.closed.done()

    def leave(self) -> bool:
        """Use the session no longer. True when that was the last use: `closed` is done once everything is put away."""
        with _lock:
            self._users -= 1
            last = self._users == 0
            if last and _open.get(self.url) is self:
                del _open[self.url]
        if last:
            with suppress(RuntimeError):  # the loop was closed, and the session with it
                self.loop.call_soon_threadsafe(self._leave.set)
        return last

    async def _work(
        self, work: Callable[[Session], Coroutine[Any, Any, Any]], outcome: concurrent.futures.Future[Any]
    ) -> None:
        try:
            outcome.set_result(await work(await self.session()))
        except asyncio.CancelledError:
            outcome.set_exception(RunInterrupted(f"The session of {self.url} was closed before the run ended"))
            raise
        except BaseException as error:
            outcome.set_exception(error)

    async def _live(self) -> None:
        try:
            async with open_session(self.settings, self._clock) as session:
                self._ready.set_result(session)
                try:
                    await self._leave.wait()
                finally:
                    session.host.interrupt()
                    if self._runs:
                        await asyncio.wait(self._runs)
        except Exception as error:
            if self._ready.done():
                _logger.exception("the session of %s ended with an error", self.url)
            else:
                self._ready.set_exception(error)
                self._ready.exception()  # who waits for it gets it; nobody else needs a warning
        finally:
            with _lock:
                if _open.get(self.url) is self:
                    del _open[self.url]
            self.closed.set_result(None)


def join(settings: Settings, clock: Clock | None = None) -> SessionHost:
    """The session host for the database of `settings`, counted as used until `leave()`.

    The one that is current (inside a run or a Runtime), or open on this loop, or open for this database anywhere in the
    process; else a new one on the running loop.
    Raises RuntimeError if there is none and no loop is running.
    """
    with _lock:
        host = _found(settings)
        if host is None:
            host = SessionHost(settings, clock)
            _open[host.url] = host
        host._users += 1
    return host


def joinable(settings: Settings) -> bool:
    """Whether `join` would find a session that is open already."""
    with _lock:
        return _found(settings) is not None


def _found(settings: Settings) -> SessionHost | None:
    candidates = [active_session.get(), *_on_this_loop(), _open.get(settings.resolved_database_url())]
    return next((host for host in candidates if host is not None and host.is_open), None)


def _on_this_loop() -> list[SessionHost]:
    # A request handler does not have the context of the task that entered the Runtime, but it is on the same loop.
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return []
    return [host for host in _open.values() if host.loop is loop]
