"""State handlers made of simpler functions."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from prefectlite.states import State

#: `(task or flow, old state, new state)` -> the state to take instead, or None; it may be awaitable.
StateHandler = Callable[[Any, State, State], State | Awaitable[State | None] | None]


def callback_factory(fn: Callable[[Any, State], Any], check: Callable[[State], bool]) -> StateHandler:
    """A state handler that calls `fn(task or flow, new_state)` when `check(new_state)`, and leaves the state as it is.

    It is a coroutine function if `fn` is one; if `fn` returns an awaitable, it returns one.
    """
    if inspect.iscoroutinefunction(fn):

        async def async_handler(tracked: Any, old_state: State, new_state: State) -> State:
            if check(new_state):
                await fn(tracked, new_state)
            return new_state

        return async_handler

    def handler(tracked: Any, old_state: State, new_state: State) -> State | Awaitable[State]:
        if check(new_state):
            answer = fn(tracked, new_state)
            if inspect.isawaitable(answer):
                return _after(answer, new_state)
        return new_state

    return handler


async def _after(answer: Awaitable[Any], state: State) -> State:
    await answer
    return state


def on_failure_handler(fn: Any, what: str) -> StateHandler:
    """A state handler that calls `fn(task or flow, state)` for every failed state. Raises TypeError, naming `what`."""
    if not callable(fn):
        raise TypeError(f"{what}: on_failure must be a function of the task or flow and its state, not {fn!r}")
    return callback_factory(fn, check=State.is_failed)


def handlers_of(handlers: Any, on_failure: Any, what: str) -> list[StateHandler]:
    """A new list of these state handlers, with one for `on_failure` after them. Raises TypeError, naming `what`."""
    if handlers and (not isinstance(handlers, Sequence) or isinstance(handlers, str | bytes)):
        raise TypeError(f"state_handlers should be iterable. {what} needs a list of functions, not {handlers!r}")
    listed = list(handlers or ())
    for handler in listed:
        if not callable(handler):
            raise TypeError(
                f"{what}: a state handler must be a function (task or flow, old state, new state), not {handler!r}"
            )
    if on_failure is not None:
        listed.append(on_failure_handler(on_failure, what))
    return listed
