"""The web application: GraphQL, health, and the pages of the UI. Quick to import: nothing here knows graphene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from prefectlite.api import login
from prefectlite.api.endpoint import HttpEndpoint
from prefectlite.api.gate import Gate
from prefectlite.api.gateway import Gateway
from prefectlite.api.guard import Guard, checked_origins
from prefectlite.api.metrics import Metrics
from prefectlite.api.pages import page
from prefectlite.api.results import ResultsEndpoint
from prefectlite.api.websocket import WebSocketEndpoint
from prefectlite.version import __version__

if TYPE_CHECKING:
    from prefectlite.session import Session


def create_app(
    session: Session, *, allowed_hosts: Sequence[str] = (), allowed_origins: Sequence[str] = (), auth: bool = False
) -> Starlette:
    """The application that serves `session`; with `auth`, to those who show a token.

    Besides the machine's own names it answers to `allowed_hosts` (names without ports; `*` means any), and besides its own
    pages to those of `allowed_origins`. Call `warm` on it once the server listens, so that the first request need not wait
    for the schema. Raises SettingsError for an origin that is none.
    """
    gateway = Gateway(session)
    http, websocket, results = HttpEndpoint(gateway), WebSocketEndpoint(gateway), ResultsEndpoint(session)
    open_routes: list[BaseRoute] = [Route("/api/health", _health)]
    if auth:
        open_routes += [Route("/api/session", login.log_in, methods=["POST"])]
        open_routes += [Route("/api/session", login.log_out, methods=["DELETE"])]
    pages = Route("/{path:path}", page)
    routes: list[BaseRoute] = [
        *open_routes,
        Route("/api/session", login.who),
        Route("/metrics", Metrics(session).get),
        Route("/api/results/{name}", results.put, methods=["PUT"]),
        Route("/api/results/{name}", results.get, methods=["GET"]),
        *(WebSocketRoute(path, websocket.serve) for path in ("/graphql", "/graphql/")),
        *(Route(path, http.get, methods=["GET"]) for path in ("/graphql", "/graphql/")),
        *(Route(path, http.post, methods=["POST"]) for path in ("/graphql", "/graphql/", "/")),
    ]
    routes.append(pages)  # what the build of the UI consists of, and nothing else
    middleware = [Middleware(Guard, allowed_hosts=allowed_hosts, allowed_origins=checked_origins(allowed_origins))]
    if auth:
        tokens, monotonic = session.client.tokens, session.clock.monotonic
        middleware.append(Middleware(Gate, tokens, monotonic, routes=routes, open_routes=[*open_routes, pages]))
    app = Starlette(routes=routes, middleware=middleware)
    app.state.gateway = gateway
    return app


async def warm(app: Starlette) -> None:
    """Load the schema of an application made here, in a thread; without it the first GraphQL request does."""
    await app.state.gateway.execution()


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__}, headers={"cache-control": "no-store"})
