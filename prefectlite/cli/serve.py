"""`prefectlite serve`: database, API, agent and UI in one process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import sys
from typing import Any

import click
import msgspec
import uvicorn

from prefectlite.api.app import warm
from prefectlite.api.guard import LOCAL_HOSTS
from prefectlite.cli import OPTIONS
from prefectlite.cli.connections import Connection, Socket
from prefectlite.cli.options import DATABASE
from prefectlite.cli.web_server import WebServer
from prefectlite.client.token_file import ensure_admin, token_path
from prefectlite.errors import FlowLoadError, PortInUse, SettingsError
from prefectlite.language.graph import Graph
from prefectlite.registration import register_in
from prefectlite.repository.sqlite_file import gave_way
from prefectlite.repository.urls import without_password
from prefectlite.runtime import Runtime
from prefectlite.services.remote_agent import give_time
from prefectlite.settings import Settings, load_settings
from prefectlite.storage.source import AnySource, load_flows, source_from_argument
from prefectlite.version import __version__

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WILDCARDS = ("0.0.0.0", "::")
_IDLE = 75  # seconds that a connection stays open on which nothing is asked: agents ask every ten
_CLOSING = 2  # seconds that open connections get after the server was told to stop


@click.command("serve")
@click.argument("flows", nargs=-1)
@click.option("--host", help="The address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="The port to listen on (8080; 0 takes a free one).")
@click.option("--auth/--no-auth", default=None, help="Ask for tokens (no; addresses but loopback need it).")
@click.option("--agent/--no-agent", default=None, help="Execute runs in this process, too (yes).")
@click.option("-l", "--label", "labels", multiple=True, help="A label of its agent, which takes runs that have no others.")
@DATABASE
@click.option("--project", default="default", show_default=True, help="The project to register FLOWS under.")
def command(flows: tuple[str, ...], project: str, labels: tuple[str, ...], **options: Any) -> None:
    """Register FLOWS (files, or package.module:flow), serve the API and the UI, and run what is asked, until Ctrl-C."""
    options["database_url"] = options.pop("database")
    settings = _secured(load_settings(options=OPTIONS, agent_labels=labels or None, **options))
    loaded = _load(flows)
    listener = _listen(settings)
    with contextlib.closing(listener):
        asyncio.run(_serve(settings, listener, loaded, project))


def _secured(settings: Settings) -> Settings:
    """The settings, with the address's name among those that are answered. Raises SettingsError for an open door."""
    if settings.host in _LOOPBACK:
        return settings
    if not settings.auth:
        raise SettingsError(
            f"--host {settings.host}: addresses other than loopback are served with tokens only. Add --auth, or leave --host"
        )
    own = socket.gethostname() if settings.host in _WILDCARDS else settings.host
    name = f"[{own}]" if ":" in own else own
    return msgspec.structs.replace(settings, allowed_hosts=(*settings.allowed_hosts, name))


def _load(arguments: tuple[str, ...]) -> list[tuple[Graph, AnySource]]:
    loaded, problems = [], []
    for argument in arguments:
        source = source_from_argument(argument)
        try:
            for flow in load_flows(source):
                flow.validate()
                loaded.append((flow, source))
        except FlowLoadError as error:
            problems.append(error)
    if problems:
        raise type(problems[0])("\n       ".join(str(problem) for problem in problems))
    return loaded


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if sys.platform != "win32":  # there it would let two servers share the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        where = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(f"{where} is in use: stop what listens there, or choose another with --port") from error
        raise PortInUse(f"Cannot listen on {where}: {error.strerror}") from error
    return listener


async def _serve(settings: Settings, listener: socket.socket, flows: list[tuple[Graph, AnySource]], project: str) -> None:
    stop, at_once = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (at_once if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    async with Runtime(settings=settings, address=_address(listener)) as runtime:
        for flow, source in flows:
            await register_in(runtime.session, flow, project, source)
        if settings.auth:
            session = runtime.session
            await ensure_admin(session.database, session.client.tokens, session.clock.micros())
        database = runtime.session.database
        server = WebServer(_config(runtime))
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve(sockets=[listener]))
            await server.listening.wait()
            _announce(settings, listener, flows)
            if settings.auth and sys.stdout.isatty():  # a log keeps what it is told, and others read it
                _offer_login(listener, runtime)
            warming = group.create_task(_warm(runtime))
            ends = [group.create_task(stop.wait()), group.create_task(database.broken.wait())]
            await asyncio.wait([serving, *ends], return_when=asyncio.FIRST_COMPLETED)
            if database.broken.is_set():
                at_once.set()
            await runtime.stop_services()
            await give_time(runtime.session, settings.grace_period, at_once, lambda line: click.echo(line, err=True))
            runtime.session.interrupt()  # before there is no more news: who waits for some would take that for an error
            runtime.session.bus.close()
            server.stopping.set()
            for task in (warming, *ends):
                task.cancel()
    if database.broken.is_set():
        raise gave_way(database.place)


async def _warm(runtime: Runtime) -> None:
    await warm(runtime.app)
    gc.freeze()  # the schema stays: a collection that goes through it holds the loop for a tenth of a second


def _config(runtime: Runtime) -> uvicorn.Config:
    return uvicorn.Config(
        runtime.app,
        http=Connection,
        log_level="warning",
        lifespan="off",
        server_header=False,
        date_header=False,
        ws=Socket,
        ws_per_message_deflate=False,  # it would take more of the loop's time than all the rest of sending
        ws_max_size=1024 * 1024,
        limit_concurrency=512,
        h11_max_incomplete_event_size=16 * 1024,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_CLOSING,
    )


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _offer_login(listener: socket.socket, runtime: Runtime) -> None:
    # What stands behind the # stays in the browser: no server, proxy or log of one gets to see it.
    address = _address(listener).replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    click.echo(f"  log in    {address}/#token={runtime.session.client.tokens.new_link()}  (once, within 10 minutes)")


def _announce(settings: Settings, listener: socket.socket, flows: list[tuple[Graph, AnySource]]) -> None:
    click.echo(f"prefectlite {__version__} at {_address(listener)}")
    click.echo(f"  database  {without_password(settings.resolved_database_url())}")
    if settings.auth:
        click.echo(f"  tokens    are asked for; an admin's is in {token_path()}")
    if settings.host not in _LOOPBACK:
        click.echo(f"  hosts     {', '.join((*LOCAL_HOSTS, *settings.allowed_hosts))} (setting allowed_hosts)")
        click.echo("  Tokens travel as they are: outside a network that you trust, put a proxy with TLS in front.", err=True)
        if getattr(os, "geteuid", lambda: 1)() == 0:  # containers run so: it is said, and not refused
            click.echo(
                "  Flows are executed as root: who may register one has this machine. Better a user of its own.", err=True
            )
    for flow, source in flows:
        click.echo(f"  flow      {flow.name}  ({source.place})")
