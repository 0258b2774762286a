"""`prefectlite agent`: an agent in a process of its own, on this or another machine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prefectlite.cli import OPTIONS
from prefectlite.engine.run_logs import runs_unshown
from prefectlite.errors import SettingsError
from prefectlite.lazily import lazily
from prefectlite.services.remote_agent import RemoteAgent
from prefectlite.settings import load_settings

if TYPE_CHECKING:
    from prefectlite.cli import agent_health
else:
    agent_health = lazily("prefectlite.cli.agent_health")


@click.group("agent")
def command() -> None:
    """Agents that execute a server's runs: on this machine, or on another."""


@command.group("local")
def local() -> None:
    """An agent that executes runs in its own process."""


@local.command("start")
@click.option("-n", "--name", default="agent", show_default=True, help="What the agent is called.")
@click.option(
    "-l", "--label", "labels", multiple=True, help="A label: the agent takes runs that have no others. Repeatable."
)
@click.option("-a", "--api", metavar="URL", help="The server to work for (the one that api_url names).")
@click.option("-e", "--env", "variables", multiple=True, metavar="NAME=VALUE", help="An environment variable for the runs.")
@click.option("-p", "--import-path", "paths", multiple=True, help="A directory to import flows' modules from. Repeatable.")
@click.option("-f", "--show-flow-logs", is_flag=True, help="Show here, too, what runs log.")
@click.option(
    "--hostname-label/--no-hostname-label",
    default=False,
    show_default=True,
    help="Have this machine's name as a label, too. Runs without labels go to agents without.",
)
@click.option(
    "--max-polls", type=click.IntRange(1), metavar="N", help="Ask N times for runs, then end with the last of them."
)
@click.option("--agent-address", metavar="URL", help="Where the agent answers /api/health and /api/poke (nowhere).")
def start(
    name: str, api: str | None, variables: tuple[str, ...], paths: tuple[str, ...], show_flow_logs: bool, **given: Any
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
    labels = {*given["labels"], *([socket.gethostname()] if given["hostname_label"] else ())}
    agent = partial(RemoteAgent, settings, name, labels, given["max_polls"])
    with nullcontext() if show_flow_logs else runs_unshown():
        asyncio.run(_work(agent, given["agent_address"]))


async def _work(made: Callable[[], RemoteAgent], address: str | None) -> None:
    agent, stop, at_once = made(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: (at_once if stop.is_set() else stop).set())
    async with agent_health.health_served(address, agent, _tell) if address else nullcontext():
        await agent.run(stop, at_once, _tell)


def _tell(line: str) -> None:
    click.echo(line, err=True)
