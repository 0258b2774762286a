"""`prefectlite agent`: an agent in a process of its own, on this or another machine."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from prefectlite.cli import OPTIONS
from prefectlite.engine.run_logs import runs_unshown
from prefectlite.errors import SettingsError
from prefectlite.lazily import lazily
from prefectlite.services.remote_agent import RemoteAgent
from prefectlite.settings import Settings, load_settings
from prefectlite.shown import printable

if TYPE_CHECKING:
    from prefectlite.cli import agent_config, agent_health
else:
    agent_config, agent_health = lazily("prefectlite.cli.agent_config"), lazily("prefectlite.cli.agent_health")

F = TypeVar("F", bound=Callable[..., Any])
_LEVELS = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], case_sensitive=False)
_NOT_HERE = {
    "--no-cloud-logs": "logs are part of the record; --log-level says from which level on",
    "--no-pull": "flows are executed in this process",
    "--base-url": "flows are executed in this process",
}
_KINDS = ("docker", "kubernetes", "ecs", "vertex")
_UNKNOWN = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["-h", "--help"]}
_SUPERVISOR = """\
; Save this as supervisord.conf, and run `supervisord`; `supervisorctl` shows and stops what runs.

[unix_http_server]
file=/tmp/supervisor.sock

[supervisord]

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix:///tmp/supervisor.sock

[program:prefectlite-agent]
command={command}
directory={directory}
stopsignal=TERM
stopwaitsecs=30"""


@click.group("agent")
def command() -> None:
    """Agents that execute a server's runs: on this machine, or on another."""


def _other(kind: str) -> click.Command:
    def answer(**_: Any) -> None:
        raise click.UsageError(
            f"There is no {kind} agent: run `prefectlite agent local start` in the container, or on the machine, that is to"
            " execute runs"
        )

    rest = click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)
    return click.Command(kind, callback=answer, params=[rest], hidden=True, context_settings=_UNKNOWN)


for _kind in _KINDS:
    command.add_command(_other(_kind))


@command.group("local")
def local() -> None:
    """An agent that executes runs in its own process."""


_OPTIONS = (
    click.option("-n", "--name", default="agent", show_default=True, help="What the agent is called."),
    click.option(
        "-l", "--label", "labels", multiple=True, help="A label: the agent takes runs that have no others. Repeatable."
    ),
    click.option("-a", "--api", metavar="URL", help="The server to work for (the one that api_url names)."),
    click.option(
        "-k", "--key", metavar="TOKEN", help="What it shows to a server that asks for tokens (the setting api_token)."
    ),
    click.option(
        "-e", "--env", "variables", multiple=True, metavar="NAME=VALUE", help="An environment variable for the runs."
    ),
    click.option(
        "-p", "--import-path", "paths", multiple=True, help="A directory to import flows' modules from. Repeatable."
    ),
    click.option("-f", "--show-flow-logs", is_flag=True, help="Show here, too, what runs log."),
    click.option(
        "--hostname-label/--no-hostname-label",
        default=False,
        show_default=True,
        help="Have this machine's name as a label, too. Runs without labels go to agents without.",
    ),
    click.option(
        "--max-polls", type=click.IntRange(1), metavar="N", help="Ask N times for runs, then end with the last of them."
    ),
    click.option("--agent-address", metavar="URL", help="Where the agent answers /api/health and /api/poke (nowhere)."),
    click.option("--log-level", type=_LEVELS, help="From which level on lines are logged."),
    click.option(
        "--agent-config-id",
        "config_id",
        metavar="ID",
        help="Options that the server keeps for agents under this id; what is said here counts more.",
    ),
    click.option("--tenant-id", hidden=True),  # of Prefect 1.x, and meaningless here: there is one tenant
)


def _options(function: F) -> F:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class _Asked(click.Command):
    """A command with an answer for the options of Prefect's that it has not."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for text in args:
            option = text.partition("=")[0]
            if option in _NOT_HERE:
                raise click.UsageError(f"{option} of Prefect's agent: {_NOT_HERE[option]}", ctx)
        return super().parse_args(ctx, args)


@local.command("start", cls=_Asked)
@_options
def start(api: str | None, key: str | None, variables: tuple[str, ...], **given: Any) -> None:
    """Execute the server's runs in this process, until Ctrl-C."""
    said = dict(map(_variable, variables))
    os.environ.update(said)
    settings = _settings(api, key, given["log_level"])
    os.environ["PREFECTLITE_API_URL"] = settings.api_url  # for the code of flows, which asks the same server
    if key is not None:
        os.environ["PREFECTLITE_API_TOKEN"] = key  # and shows the same token
    if (config_id := given["config_id"]) is not None:
        kept = asyncio.run(agent_config.config_at(settings.api_url, config_id)).said()
        os.environ.update({**kept.pop("variables", {}), **said, "PREFECTLITE_API_URL": settings.api_url})
        given |= {name: value for name, value in kept.items() if not _is_said(name)}
        settings = _settings(settings.api_url, key, given["log_level"])
    sys.path[:0] = [str(Path(path).absolute()) for path in given["paths"]]
    labels = {*given["labels"], *([socket.gethostname()] if given["hostname_label"] else ())}
    agent = partial(RemoteAgent, settings, given["name"], labels, given["max_polls"], config_id)
    with nullcontext() if given["show_flow_logs"] else runs_unshown():
        asyncio.run(_work(agent, given["agent_address"]))


def _settings(api: str | None, key: str | None, level: str | None) -> Settings:
    """The settings in force. Raises SettingsError where they name no server."""
    settings = load_settings(options=OPTIONS, api_url=api, api_token=key, log_level=level and level.upper())
    if not settings.api_url:
        raise SettingsError("Say which server to work for: --api http://localhost:8080, or set api_url")
    return settings


def _is_said(parameter: str) -> bool:
    """Whether the command line gives this option."""
    return click.get_current_context().get_parameter_source(parameter) is ParameterSource.COMMANDLINE


@local.command("install", cls=_Asked)
@_options
def install(key: str | None, **_: Any) -> None:
    """Print a supervisord.conf that keeps `agent local start`, with these options, running."""
    if key is not None:
        raise click.UsageError("--key would be in the file for all to read: set api_token, or PREFECTLITE_API_TOKEN there")
    command_line = shlex.join(
        [sys.executable, "-m", "prefectlite", "agent", "local", "start", *_said(click.get_current_context())]
    )
    # What follows a % is a variable of supervisord's, and a ; begins a comment.
    click.echo(_SUPERVISOR.format(command=command_line.replace("%", "%%").replace(" ;", " \\;"), directory=Path.cwd()))


def _said(ctx: click.Context) -> list[str]:
    """The options that the command line gives, again."""
    said: list[str] = []
    for parameter in ctx.command.params:
        value = ctx.params.get(str(parameter.name))
        if not _is_said(str(parameter.name)):
            continue
        if isinstance(value, bool):
            said.append(parameter.opts[-1] if value else parameter.secondary_opts[-1])
            continue
        for one in value if isinstance(value, tuple) else (value,):
            said += [parameter.opts[-1], str(one)]
    return said


def _variable(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise click.UsageError(f"--env {text}: write it as NAME=VALUE")
    return name, value


async def _work(made: Callable[[], RemoteAgent], address: str | None) -> None:
    agent, stop, at_once = made(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: (at_once if stop.is_set() else stop).set())
    async with agent_health.health_served(address, agent, _tell) if address else nullcontext():
        await agent.run(stop, at_once, _tell)


def _tell(line: str) -> None:
    click.echo(printable(line), err=True)
