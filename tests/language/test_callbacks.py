from __future__ import annotations

import inspect
from typing import Any

import pytest

from prefectlite.language.callbacks import callback_factory
from prefectlite.states import Failed, Running, State, Success

OLD, YES, NO = Running(), Success("yes"), Failed("no")


def test_the_function_is_called_when_the_check_says_so() -> None:
    calls: list[Any] = []
    handler = callback_factory(lambda tracked, state: calls.append((tracked, state)), check=State.is_successful)
    assert handler("a task", OLD, YES) is YES
    assert handler("a task", OLD, NO) is NO
    assert calls == [("a task", YES)]


@pytest.mark.asyncio
async def test_a_coroutine_function_is_awaited() -> None:
    calls: list[Any] = []

    async def note(tracked: Any, state: State) -> str:
        calls.append((tracked, state))
        return "what it returns is not the state"

    handler: Any = callback_factory(note, check=State.is_failed)
    assert inspect.iscoroutinefunction(handler)
    assert await handler("a task", OLD, NO) is NO
    assert await handler("a task", OLD, YES) is YES
    assert calls == [("a task", NO)]


@pytest.mark.asyncio
async def test_so_is_what_a_plain_function_returns() -> None:
    calls: list[Any] = []

    async def note(state: State) -> None:
        calls.append(state)

    handler: Any = callback_factory(lambda tracked, state: note(state), check=State.is_failed)
    assert handler("a task", OLD, YES) is YES
    assert await handler("a task", OLD, NO) is NO
    assert calls == [NO]


def test_what_it_raises_is_the_callers() -> None:
    handler = callback_factory(lambda tracked, state: 1 / 0, check=State.is_failed)
    with pytest.raises(ZeroDivisionError):
        handler("a task", OLD, NO)
