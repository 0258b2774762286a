"""`prefectlite agent`: an agent in a process of its own, on this or another machine."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from prefectlite.cli import OPTIONS
from prefectlite.errors import SettingsError
from prefectlite.services.remote_agent import RemoteAgent
from prefectlite.settings import Settings, load_settings

F = TypeVar("F", bound=Callable[..., Any])
_LEVELS = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], case_sensitive=False)
_NOT_HERE = {
    "--max-polls": "it does not poll, the server tells it of runs; Ctrl-C, or SIGTERM, ends it",
    "--agent-address": "it listens nowhere; the server's `agent` query, and /metrics, say when it was last heard of",
    "--agent-config-id": "its settings are the options of this command, and `prefectlite config`",
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
    click.option("-l", "--label", "labels", multiple=True, help="A label: the agent takes runs that have no others."),
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
    click.option(
        "--hostname-label/--no-hostname-label", default=False, help="Have this machine's name as a label, too (no)."
    ),
    click.option("--log-level", type=_LEVELS, help="From which level on lines are logged."),
    # Of Prefect 1.x, and true or meaningless here: logs are shown, runs are announced, there is one tenant.
    click.option("-f", "--show-flow-logs", is_flag=True, hidden=True),
    click.option("--tenant-id", hidden=True),
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
def start(
    name: str,
    labels: tuple[str, ...],
    api: str | None,
    key: str | None,
    variables: tuple[str, ...],
    paths: tuple[str, ...],
    hostname_label: bool,
    log_level: str | None,
    **_: Any,
) -> None:
    """Execute the server's runs in this process, until Ctrl-C."""
    for variable in variables:
        own, value = _variable(variable)
        os.environ[own] = value
    sys.path[:0] = [str(Path(path).absolute()) for path in paths]
    settings = load_settings(options=OPTIONS, api_url=api, api_token=key, log_level=log_level and log_level.upper())
    if not settings.api_url:
        raise SettingsError("Say which server to work for: --api http://localhost:8080, or set api_url")
    os.environ["PREFECTLITE_API_URL"] = settings.api_url  # for the code of flows, which asks the same server
    if key is not None:
        os.environ["PREFECTLITE_API_TOKEN"] = key  # and shows the same token
    asyncio.run(_work(settings, name, {*labels, *([socket.gethostname()] if hostname_label else ())}))


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
        if ctx.get_parameter_source(str(parameter.name)) != ParameterSource.COMMANDLINE:
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


async def _work(settings: Settings, name: str, labels: set[str]) -> None:
    stop, at_once = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: (at_once if stop.is_set() else stop).set())
    await RemoteAgent(settings, name, labels).run(stop, at_once, lambda line: click.echo(line, err=True))
