"""The agent's own HTTP address, for those who watch over it: whether it is there, and how to wake it up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from prefectlite.api.guard import ANY_HOST, LOCAL_HOSTS, Guard
from prefectlite.cli.connections import Connection
from prefectlite.cli.web_server import WebServer
from prefectlite.errors import PortInUse, SettingsError
from prefectlite.services.remote_agent import RemoteAgent
from prefectlite.version import __version__

_LOOPBACK = "127.0.0.1"


@contextlib.asynccontextmanager
async def health_served(address: str, agent: RemoteAgent, told: Callable[[str], None]) -> AsyncIterator[None]:
    """In this block `address`, such as http://127.0.0.1:8081, answers for the agent: /api/health and /api/poke.

    Raises SettingsError for what is no address, PortInUse where somebody else listens.
    """
    host, port = place_of(address)
    with contextlib.closing(_listener(host, port)) as listener:
        server = WebServer(
            uvicorn.Config(_app(agent, host), http=Connection, log_level="warning", lifespan="off", ws="none")
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        told(f"Its health is at http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/api/health")
        try:
            yield
        finally:
            server.stopping.set()
            await asyncio.wait([serving])


def place_of(address: str) -> tuple[str, int]:
    """Host and port of an address of the agent's own; one without a host is this machine only. Raises SettingsError."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "http" or port is None or parts.path not in ("", "/"):
        raise SettingsError(f"--agent-address {address}: write it as http://127.0.0.1:8081")
    host = parts.hostname or _LOOPBACK
    return (_LOOPBACK if host == "localhost" else host), port


def _app(agent: RemoteAgent, host: str) -> Starlette:
    async def health(_request: Request) -> Response:
        return _answer({"status": "ok", "version": __version__, "name": agent.name, "running": agent.running})

    async def poke(_request: Request) -> Response:
        agent.poke()
        return _answer({})

    routes = [Route("/api/health", health), Route("/api/poke", poke, methods=["GET", "POST"])]
    # Who is to be reached from elsewhere is asked by whatever name it has there; there is nothing to be stolen here.
    allowed = () if host in (*LOCAL_HOSTS, "::1") else (ANY_HOST,)
    return Starlette(routes=routes, middleware=[Middleware(Guard, allowed_hosts=allowed)])


def _answer(content: dict[str, object]) -> Response:
    return JSONResponse(content, headers={"cache-control": "no-store"})


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if sys.platform != "win32":  # there it would let two agents share the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise PortInUse(f"--agent-address {host}:{port} cannot be listened to: {error.strerror}") from error
    return listener
