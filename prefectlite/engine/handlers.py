"""Calling state handlers: of tasks, of flows and of those who run them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple

from prefectlite.executors.threads import ThreadPool
from prefectlite.shown import told
from prefectlite.signals import ENDRUN, PAUSE, StateSignal
from prefectlite.states import Failed, State

_logger = logging.getLogger("prefectlite.TaskRunner")


class EndRun(Exception):
    """Ends the pass of a task run, or a flow run, in `state`; `error` is what a state handler raised, if that is why."""

    def __init__(self, state: State, error: BaseException | None = None) -> None:
        super().__init__(state)
        self.state, self.error = state, error


class _Stopped(NamedTuple):
    """How far a chain of handlers got in a worker thread, and what has to be awaited before it goes on."""

    position: int
    state: State
    waiting: Awaitable[Any] | None


class Handlers:
    """State handlers in their order, called with `(subject, old state, new state)`; each sees what the one before it made.

    Plain ones are called in a worker thread, together; async ones are awaited on the loop.
    """

    def __init__(self, threads: ThreadPool, subject: Any, handlers: Sequence[Any]) -> None:
        self._threads, self._subject, self._handlers = threads, subject, handlers

    def __bool__(self) -> bool:
        return bool(self._handlers)

    async def see(self, old: State, new: State) -> State:
        """What the handlers make of the change from `old` to `new`.

        A signal that one of them raises is the state. Raises EndRun for PAUSE and ENDRUN, and for a handler that fails.
        """
        if not self._handlers or old is new:
            return new
        position: int = 0
        state = new
        try:
            while position < len(self._handlers):
                if inspect.iscoroutinefunction(self._handlers[position]):
                    stopped = self._call(position, old, state)
                else:
                    work = partial(copy_context().run, _caught, self._call, position, old, state)
                    stopped = _raised_again(await self._threads.submit(work).result)
                position, state = stopped.position, stopped.state
                if stopped.waiting is not None:
                    state = self._checked(position - 1, await stopped.waiting, state)
        except (PAUSE, ENDRUN) as signal:
            raise EndRun(signal.state) from None
        except StateSignal as signal:
            return signal.state
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # a handler that exits must not take the process with it
            _logger.exception("Exception raised while calling state handlers of %s", self._subject)
            raise EndRun(Failed(f"Unexpected error while calling state handlers: {told(error)}", error), error) from None
        return state

    def _call(self, position: int, old: State, state: State) -> _Stopped:
        """Call handlers from `position` on, up to one that is async, or whose answer has to be awaited."""
        for number in range(position, len(self._handlers)):
            if number > position and inspect.iscoroutinefunction(self._handlers[number]):
                return _Stopped(number, state, None)  # its place is on the loop
            answer = self._handlers[number](self._subject, old, state)
            if inspect.isawaitable(answer):
                return _Stopped(number + 1, state, answer)
            state = self._checked(number, answer, state)
        return _Stopped(len(self._handlers), state, None)

    def _checked(self, number: int, answer: Any, state: State) -> State:
        if isinstance(answer, State):
            return answer
        if not answer:  # of a handler that ends in `and …`, say
            return state
        name = getattr(self._handlers[number], "__name__", repr(self._handlers[number]))
        raise TypeError(f"state handler {name!r} of {self._subject} must return a State or None, not {answer!r}")


def _caught(call: Any, *args: Any) -> Any:
    # A signal is no Exception: it travels through the future of a thread as a value.
    try:
        return call(*args)
    except BaseException as error:
        return error


def _raised_again(outcome: Any) -> _Stopped:
    if isinstance(outcome, BaseException):
        raise outcome
    assert isinstance(outcome, _Stopped)
    return outcome
