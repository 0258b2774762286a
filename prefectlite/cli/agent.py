"""`prefectlite agent`: an agent in a process of its own, on this or another machine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import click

from prefectlite.cli import OPTIONS
from prefectlite.errors import SettingsError
from prefectlite.services.remote_agent import RemoteAgent
from prefectlite.settings import Settings, load_settings


@click.group("agent")
def command() -> None:
    """Agents that execute a server's runs: on this machine, or on another."""


@command.group("local")
def local() -> None:
    """An agent that executes runs in its own process."""


@local.command("start")
@click.option("-n", "--name", default="agent", show_default=True, help="What the agent is called.")
@click.option("-l", "--label", "labels", multiple=True, help="A label: the agent takes runs that have no others.")
@click.option("-a", "--api", metavar="URL", help="The server to work for (the one that api_url names).")
@click.option("-e", "--env", "variables", multiple=True, metavar="NAME=VALUE", help="An environment variable for the runs.")
@click.option("-p", "--import-path", "paths", multiple=True, help="A directory to import flows' modules from. Repeatable.")
@click.option("--hostname-label", is_flag=True, help="Have this machine's name as a label, too.")
def start(
    name: str,
    labels: tuple[str, ...],
    api: str | None,
    variables: tuple[str, ...],
    paths: tuple[str, ...],
    hostname_label: bool,
) -> None:
    """Execute the server's runs in this process, until Ctrl-C."""
    for variable in variables:
        key, separator, value = variable.partition("=")
        if not key or not separator:
            raise click.UsageError(f"--env {variable}: write it as NAME=VALUE")
        os.environ[key] = value
    sys.path[:0] = [str(Path(path).absolute()) for path in paths]
    settings = load_settings(options=OPTIONS, api_url=api)
    if not settings.api_url:
        raise SettingsError("Say which server to work for: --api http://localhost:8080, or set api_url")
    os.environ["PREFECTLITE_API_URL"] = settings.api_url  # for the code of flows, which asks the same server
    own = {*labels, *([socket.gethostname()] if hostname_label else ())}
    asyncio.run(_work(settings, name, own))


async def _work(settings: Settings, name: str, labels: set[str]) -> None:
    stop, at_once = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: (at_once if stop.is_set() else stop).set())
    await RemoteAgent(settings, name, labels).run(stop, at_once, lambda line: click.echo(line, err=True))
