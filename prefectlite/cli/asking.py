"""Commands that ask: one GraphQL text, answered by a server if one is named, else by the local database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import click
import msgspec

from prefectlite.api.caller import Caller
from prefectlite.api.requests import Answer, Request
from prefectlite.cli import OPTIONS
from prefectlite.cli.options import DATABASE
from prefectlite.cli.unpacking import alone
from prefectlite.client.http import Client
from prefectlite.error_codes import error_named
from prefectlite.lazily import lazily
from prefectlite.repository.urls import database_key
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings, load_settings

F = TypeVar("F", bound=Callable[..., Any])
_SOMEBODY = Caller(actor="the command line")
execution: Any = lazily("prefectlite.api.execution")


class Answers(NamedTuple):
    """Whom a command talks to: `ask(query, **variables)` is awaited, `news(subscription, **variables)` is listened to."""

    ask: Callable[..., Awaitable[dict[str, Any]]]
    news: Callable[..., AsyncGenerator[dict[str, Any], None]]


class Place(NamedTuple):
    """Who answers: the server at `settings.api_url`, or the database of `settings`."""

    settings: Settings
    is_server: bool

    @property
    def whereabouts(self) -> str:
        """Where that is, as messages say it: `in` a database, without its password, or `at` a server."""
        if self.is_server:
            return f"at {self.settings.api_url}"
        return f"in {database_key(self.settings.resolved_database_url())}"

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of the answer. Raises ApiError of a server, and the error itself of the local database."""
        return asyncio.run(self._ask(query, variables))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Answers]:
        """Whom to ask several things, and to listen to. Raises as `ask` does."""
        if self.is_server:
            async with Client(self.settings.api_url) as client:
                yield Answers(client.graphql, client.subscribe)
            return
        with alone():
            async with open_session(self.settings) as session:
                yield answers_of(session)

    async def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        async with self.open() as answers:
            return await answers.ask(query, **variables)


def answers_of(session: Session) -> Answers:
    """The database of an open session, to be asked."""
    here = _Here(execution.Execution(session))
    return Answers(here.ask, here.news)


class _Here:
    """The local database, asked as a server is."""

    def __init__(self, running: Any) -> None:
        self._execution = running

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = await self._execution.run(Request(query, variables, None), self._execution.budget(), _SOMEBODY)
        return _data(answer.body)

    async def news(self, query: str, **variables: Any) -> AsyncGenerator[dict[str, Any], None]:
        found = await self._execution.subscribe(Request(query, variables, None), self._execution.budget(), _SOMEBODY)
        if isinstance(found, Answer):
            yield _data(found.body)
            return
        async with aclosing(found):
            async for bodies in found:
                for body in bodies:
                    yield _data(body)


def _data(body: bytes) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.json.decode(body)
    for error in content.get("errors", ()):
        raise error_named(error["extensions"]["code"], error["message"])
    data: dict[str, Any] = content["data"]
    return data


def asking(function: F) -> F:
    """The options by which a command is told whom to ask; it passes them to `place`."""
    api = click.option("--api", metavar="URL", help="A running server to ask (the one that api_url names).")
    return api(DATABASE(function))


def place(database: str | None, api: str | None) -> Place:
    """Whom the options and the settings name; a database on the command line goes before a server in the settings."""
    if database and api:
        raise click.UsageError("Name a database or a server, not both")
    settings = load_settings(options=OPTIONS, database_url=database, api_url=api)
    return Place(settings, bool(settings.api_url) and not database)
