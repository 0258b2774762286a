"""What tests of the pipeline share: a runtime in memory, and tasks written both ways."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from prefectlite import Runtime, Task, context, task
from prefectlite.states import State

Made = Callable[..., Task]


@pytest_asyncio.fixture
async def in_memory() -> AsyncIterator[Runtime]:
    """A runtime over a database in memory, for as long as the test."""
    async with Runtime(database_url="sqlite://:memory:") as opened:
        yield opened


@pytest.fixture(params=["plain", "async"])
def made(request: pytest.FixtureRequest) -> Made:
    """Makes a task of a plain function, as it stands or as an async one, called "t" if not otherwise named."""

    def make(function: Callable[..., Any], **options: Any) -> Task:
        chosen = _async_one(function) if request.param == "async" else function
        return task(chosen, **{"name": "t", **options})

    return make


def _async_one(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Seen(list[Any]):
    """A state handler that writes down every change it sees: "Pending>Running", with the index of a mapped child."""

    def __call__(self, subject: Any, old: State, new: State) -> None:
        index = context.get("map_index")
        self.append(f"{old.name}>{new.name}" + ("" if index is None else f"[{index}]"))


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def info_lines(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What the engine has said so far, from INFO on."""
    with caplog.at_level(logging.INFO, logger="prefectlite"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name.startswith("prefectlite")]
