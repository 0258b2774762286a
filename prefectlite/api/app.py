"""The web application: GraphQL, health, and the pages of the UI. Quick to import: nothing here knows graphene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from prefectlite.api.endpoint import HttpEndpoint
from prefectlite.api.gateway import Gateway
from prefectlite.api.guard import Guard
from prefectlite.api.metrics import Metrics
from prefectlite.api.pages import page
from prefectlite.api.websocket import WebSocketEndpoint
from prefectlite.version import __version__

if TYPE_CHECKING:
    from prefectlite.session import Session


def create_app(session: Session, *, allowed_hosts: Sequence[str] = ()) -> Starlette:
    """The application that serves `session`.

    Besides the machine's own names it answers to `allowed_hosts` (names without ports; `*` means any). Call `warm` on it
    once the server listens, so that the first request need not wait for the schema.
    """
    gateway = Gateway(session)
    http, websocket = HttpEndpoint(gateway), WebSocketEndpoint(gateway)
    routes: list[BaseRoute] = [
        Route("/api/health", _health),
        Route("/metrics", Metrics(session).get),
        *(WebSocketRoute(path, websocket.serve) for path in ("/graphql", "/graphql/")),
        *(Route(path, http.get, methods=["GET"]) for path in ("/graphql", "/graphql/")),
        *(Route(path, http.post, methods=["POST"]) for path in ("/graphql", "/graphql/", "/")),
    ]
    routes.append(Route("/{path:path}", page))
    app = Starlette(routes=routes, middleware=[Middleware(Guard, allowed_hosts=allowed_hosts)])
    app.state.gateway = gateway
    return app


async def warm(app: Starlette) -> None:
    """Load the schema of an application made here, in a thread; without it the first GraphQL request does."""
    await app.state.gateway.execution()


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__}, headers={"cache-control": "no-store"})
