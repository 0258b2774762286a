"""Commands that ask: one GraphQL text, answered by a server if one is named, else by the local database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click
import msgspec

from prefectlite.api.caller import Caller
from prefectlite.api.requests import Request
from prefectlite.cli import OPTIONS
from prefectlite.cli.options import DATABASE
from prefectlite.client.http import Client
from prefectlite.error_codes import error_named
from prefectlite.lazily import lazily
from prefectlite.session import open_session
from prefectlite.settings import Settings, load_settings

F = TypeVar("F", bound=Callable[..., Any])
execution: Any = lazily("prefectlite.api.execution")


class Place(NamedTuple):
    """Who answers: the server at `settings.api_url`, or the database of `settings`."""

    settings: Settings
    is_server: bool

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of the answer. Raises ApiError of a server, and the error itself of the local database."""
        return asyncio.run(self._of_server(query, variables) if self.is_server else self._here(query, variables))

    async def _of_server(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        async with Client(self.settings.api_url) as client:
            return await client.graphql(query, **variables)

    async def _here(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        async with open_session(self.settings) as session:
            running = execution.Execution(session)
            answer = await running.run(Request(query, variables, None), running.budget(), Caller())
        content: dict[str, Any] = msgspec.json.decode(answer.body)
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
