"""`prefectlite diagnostics`: what to paste into a bug report."""

from __future__ import annotations

import asyncio
import importlib.metadata
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prefectlite.cli import OPTIONS
from prefectlite.cli.options import DATABASE
from prefectlite.cli.tables import OUTPUT, show_data
from prefectlite.client.http import Client
from prefectlite.diagnostics import diagnostics
from prefectlite.errors import ApiError
from prefectlite.repository.reachability import reachability
from prefectlite.settings import Settings, load_settings
from prefectlite.shown import printable
from prefectlite.storage.source import load_flow, source_from_argument

_PACKAGES = (
    "aiosqlite",
    "anyio",
    "asyncpg",
    "click",
    "graphene",
    "httpx",
    "msgspec",
    "rich",
    "starlette",
    "uvicorn",
    "websockets",
)


@click.command("diagnostics")
@click.argument("flow", required=False)
@click.option("--include-secret-names", is_flag=True, help="With the names of secrets in the settings, not their values.")
@click.option("--api", metavar="URL", help="A running server (the one that api_url names).")
@DATABASE
@OUTPUT
def command(flow: str | None, include_secret_names: bool, api: str | None, database: str | None, output: str) -> None:
    """Show versions, what is configured, and whether database and server answer; and what FLOW (a file) is made of.

    Values of settings are not shown, nor is any secret.
    """
    settings = load_settings(options=OPTIONS, database_url=database, api_url=api)
    graph = load_flow(source_from_argument(flow)) if flow else None
    content: dict[str, Any] = msgspec.json.decode(diagnostics(graph, include_secret_names))
    content["packages"] = {name: importlib.metadata.version(name) for name in _PACKAGES}
    content |= asyncio.run(_looked_at(settings))
    if output != "table":
        show_data(content, output)
        return
    console = Console(highlight=False, markup=False, emoji=False)
    for section, values in content.items():
        console.print(Text(section.replace("_", " "), style="bold"))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        table.add_column(no_wrap=True, style="dim")
        table.add_column(overflow="fold")
        for name, value in values.items() if isinstance(values, dict) else ((name, True) for name in values):
            table.add_row(name, _shown(value))
        console.print(table if table.rows else Text("  none", style="dim"))


async def _looked_at(settings: Settings) -> dict[str, Any]:
    database = msgspec.structs.asdict(await reachability(settings.resolved_database_url()))
    found = {"database": {name: value for name, value in database.items() if value is not None}}
    if settings.api_url:
        found["server"] = await _server(settings.api_url)
    return found


async def _server(url: str) -> dict[str, Any]:
    async with Client(url) as client:
        try:
            await client.graphql("{ __typename }")
        except ApiError as error:
            return {"reachable": False, "problem": str(error)}
    return {"reachable": True}


def _shown(value: Any) -> Text:
    if isinstance(value, bool):
        return Text("yes" if value else "no", style="" if value else "yellow")
    return Text(printable(value if isinstance(value, str) else msgspec.json.encode(value).decode()))
