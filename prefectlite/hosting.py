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
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from prefectlite.clock import Clock, process_clock
from prefectlite.contexts import active_session
from prefectlite.errors import RunInterrupted, UnsupportedLoop
from prefectlite.kept import kept
from prefectlite.repository.urls import database_key
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings
from prefectlite.workload import Work, begin_work

_logger = logging.getLogger("prefectlite")
_open: dict[str, SessionHost] = {}
_lock = threading.Lock()


class SessionHost:
    """A session and those who use it."""

    def __init__(self, settings: Settings, clock: Clock | None) -> None:
        self.settings = settings
        self.key = _key(settings)
        self.loop = asyncio.get_running_loop()
        self.closed: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._clock = clock or process_clock()
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
        outcome.set_running_or_notify_cancel()  # who waits for it can stop waiting, and nothing more
        context = contextvars.copy_context()
        context.run(active_session.set, self)
        piece = context.run(begin_work, self._clock)

        def begin() -> None:
            task = kept(self.loop.create_task(self._work(work, outcome, piece), context=context))
            self._runs.add(task)
            task.add_done_callback(self._runs.discard)

        self.loop.call_soon_threadsafe(begin)
        return outcome

    def cancel(self, run_id: str) -> bool:
        """Stop a run that is executed here, at once; False if it is not, or from another thread than the loop's."""
        if asyncio._get_running_loop() is not self.loop or not self._ready.done() or self._ready.exception() is not None:
            return False
        return self._ready.result().host.cancel(run_id)

    def hurry(self) -> None:
        """Let runs that are being stopped wait no longer for code that does not end. On the loop's own thread."""
        for run in self._runs:
            run.cancel()

    @property
    def is_open(self) -> bool:
        """Whether it can be joined."""
        return self._users > 0 and not self.closed.done() and not self.loop.is_closed()

    def check_loop(self) -> None:
        """Raises UnsupportedLoop if this is not the loop that the session lives on."""
        if self.loop is not asyncio.get_running_loop():
            raise UnsupportedLoop(
                f"A session of {self.key} is open on another event loop of this process: open the Runtime there;"
                " flow.run() works from here as well"
            )

    def leave(self) -> bool:
        """Use the session no longer. True when that was the last use: `closed` is done once everything is put away."""
        with _lock:
            self._users -= 1
            last = self._users == 0
            if last and _open.get(self.key) is self:
                del _open[self.key]
        if last:
            with suppress(RuntimeError):  # the loop was closed, and the session with it
                self.loop.call_soon_threadsafe(self._leave.set)
        return last

    async def _work(
        self,
        work: Callable[[Session], Coroutine[Any, Any, Any]],
        outcome: concurrent.futures.Future[Any],
        piece: Work | None,
    ) -> None:
        try:
            outcome.set_result(await work(await self.session()))
        except asyncio.CancelledError:
            outcome.set_exception(self._interrupted())
            raise
        except BaseException as error:
            outcome.set_exception(error)
        finally:
            if piece is not None:
                piece.end()

    async def _live(self) -> None:
        try:
            async with open_session(self.settings, self._clock) as session:
                self._ready.set_result(session)
                try:
                    await self._leave.wait()
                finally:
                    session.orchestrator.hurry()
                    session.run_log.hurry()
                    session.interrupt()
                    if self._runs:
                        await asyncio.wait(self._runs)
        except Exception as error:
            if self._ready.done():
                _logger.exception("the session of %s ended with an error", self.key)
            else:
                self._ready.set_exception(error)
                self._ready.exception()  # who waits for it gets it; nobody else needs a warning
        finally:
            if not self._ready.done():
                self._ready.set_exception(self._interrupted())
                self._ready.exception()
            with _lock:
                if _open.get(self.key) is self:
                    del _open[self.key]
            self.closed.set_result(None)

    def _interrupted(self) -> RunInterrupted:
        return RunInterrupted(f"The session of {self.key} was closed before the run ended")


def join(settings: Settings, clock: Clock | None = None, *, by_name: bool = False) -> SessionHost:
    """The session host for the database of `settings`, counted as used until `leave()`.

    The one that is current (inside a run or a Runtime), or open on this loop, or open for this database anywhere in the
    process; else a new one on the running loop. With `by_name` only one that is open for this very database will do.
    Raises RuntimeError if there is none and no loop is running.
    """
    with _lock:
        host = _found(settings, by_name)
        if host is None:
            host = SessionHost(settings, clock)
            _open[host.key] = host
        host._users += 1
    return host


def joinable(settings: Settings) -> bool:
    """Whether `join` would find a session that is open already, from a thread that is going to wait for it.

    Raises UnsupportedLoop if it would wait for ever, because the session's event loop does not run.
    """
    with _lock:
        host = _found(settings, by_name=False)
    if host is not None and not host.loop.is_running():
        raise UnsupportedLoop(
            f"This would wait for ever: the session of {host.key} lives on an event loop that is not running. Await it there"
        )
    return host is not None


def _found(settings: Settings, by_name: bool) -> SessionHost | None:
    if not by_name:
        nearer: list[SessionHost | None] = [active_session.get(), *_on_this_loop()]
        if found := next((host for host in nearer if host is not None and host.is_open), None):
            return found
    named = _open.get(_key(settings))
    return named if named is not None and named.is_open else None


def _key(settings: Settings) -> str:
    """The database's name, whichever way its URL is written."""
    return database_key(settings.resolved_database_url())


def _begin_anew() -> None:
    """In a forked child: the sessions are its parent's."""
    global _lock
    _lock = threading.Lock()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _on_this_loop() -> list[SessionHost]:
    # A request handler does not have the context of the task that entered the Runtime, but it is on the same loop.
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return []
    return [host for host in _open.values() if host.loop is loop]
