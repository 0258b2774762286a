"""Tokens asked for: every route, every way to show one, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import InvalidStatus

from prefectlite import Runtime
from prefectlite.api import seats
from prefectlite.api.app import create_app
from prefectlite.api.gate import FAILURES, WITHIN
from prefectlite.errors import SettingsError, StoreUnavailable
from prefectlite.roles import Role
from prefectlite.settings import load_settings
from tests.api.conftest import HOST, serving
from tests.api.sockets import close_code, dial, initialise, receive, send
from tests.conftest import HeldClock

pytestmark = pytest.mark.asyncio
HELLO = {"query": "{ hello }"}
OWN_PAGE = {"x-prefectlite": "1"}


@pytest_asyncio.fixture
async def runtime() -> AsyncIterator[Runtime]:
    settings = load_settings(database_url="sqlite://:memory:", auth=True)
    async with Runtime(settings=settings, agent=False) as runtime:
        yield runtime


@pytest_asyncio.fixture
async def token(runtime: Runtime) -> str:
    return (await runtime.session.client.tokens.create("alice", Role.OPERATOR)).text


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def shown(http: httpx.AsyncClient) -> str:
    """The cookie that a browser would show."""
    cookie = next(iter(http.cookies.jar))
    return f"{cookie.name}={cookie.value}"


async def status(http: httpx.AsyncClient, **headers: Any) -> int:
    return (await http.post("/graphql", json=HELLO, headers=headers)).status_code


async def test_every_route_asks_for_a_token_but_for_the_open_ones(runtime: Runtime, http: httpx.AsyncClient) -> None:
    paths = {route.path for route in runtime.app.routes if isinstance(route, Route)} - {"/{path:path}"}
    assert paths >= {"/", "/graphql", "/graphql/", "/metrics", "/api/health", "/api/session"}
    endings = (
        "",
        "/",
        "/health",
        "/api/health",
        "/configs",
        "%2fapi%2fhealth",
        "?path=/api/health",
        "#/api/health",
        ";a",
        "/..",
    )
    for path in sorted(paths):
        for ending in endings:
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"):
                response = await http.request(method, f"{path}{ending}", json=HELLO)
                assert b"data" not in response.content, (method, path + ending)
                assert "prefectlite_" not in response.text, (method, path + ending)
                is_page = method in ("GET", "HEAD") and response.request.url.path not in (
                    "/graphql",
                    "/graphql/",
                    "/metrics",
                )
                is_page &= response.request.url.path != "/api/session"
                is_session = method in ("POST", "DELETE") and response.request.url.path == "/api/session"
                assert response.status_code == 401 or is_page or is_session, (method, path + ending)
    sockets = [route.path for route in runtime.app.routes if isinstance(route, WebSocketRoute)]
    assert sockets == ["/graphql", "/graphql/"]


async def test_what_is_open(http: httpx.AsyncClient) -> None:
    for path in ("/api/health", "/", "/runs", "/flows/x"):
        assert (await http.get(path)).status_code == 200
    assert (await http.get("/api/secret")).status_code == 404


async def test_what_is_said_to_who_shows_nothing(http: httpx.AsyncClient) -> None:
    response = await http.post("/graphql", json=HELLO)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
    # Prefect's clients raise AuthorizationError for that code, and look for it in answers only.
    of_prefect = await http.post("/graphql", json=HELLO, headers={"x-prefect-core-version": "1.4.1"})
    assert (of_prefect.status_code, of_prefect.json()) == (200, response.json())


async def test_a_token_in_the_header(http: httpx.AsyncClient, token: str) -> None:
    for scheme in ("Bearer", "bearer", "BEARER "):
        response = await http.post("/graphql", json=HELLO, headers={"authorization": f"{scheme} {token}"})
        assert response.json() == {"data": {"hello": "👋"}}
    for wrong in (token, f"Basic {token}", f"Bearer {token} x", f"Token {token}", "Bearer", "", "Bearer pl_ü"):
        response = await http.post("/graphql", json=HELLO, headers={"authorization": wrong.encode("latin-1")})
        assert response.status_code == 401, wrong
    twice = httpx.Headers([("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")])
    assert (await http.post("/graphql", json=HELLO, headers=twice)).status_code == 401
    assert (await http.post(f"/graphql?token={token}", json=HELLO)).status_code == 401


@pytest.mark.parametrize("wrong", [b"pl_\xff\xfe", "pl_é👋".encode(), b"\x80" * 50, b"x" * 8_000])
async def test_a_token_of_odd_letters_is_wrong_and_no_failure(http: httpx.AsyncClient, wrong: bytes) -> None:
    response = await http.post("/graphql", json=HELLO, headers={"authorization": b"Bearer " + wrong})
    assert response.status_code == 401


async def test_a_revoked_token_ends_at_once(runtime: Runtime, http: httpx.AsyncClient, token: str) -> None:
    assert await status(http, **bearer(token)) == 200
    [(token_id,)] = await runtime.session.database.read("SELECT id FROM api_token")
    await runtime.session.client.tokens.revoke(token_id)
    assert await status(http, **bearer(token)) == 401


async def test_the_role_counts(runtime: Runtime, http: httpx.AsyncClient) -> None:
    make = {"query": 'mutation { create_project(input: {name: "x"}) { id } }'}
    for role, allowed in {Role.VIEWER: False, Role.AGENT: False, Role.OPERATOR: True}.items():
        text = (await runtime.session.client.tokens.create(role, role)).text
        answer = (await http.post("/graphql", json=make, headers=bearer(text))).json()
        assert ("errors" not in answer) == allowed
        metrics = await http.get("/metrics", headers=bearer(text))
        assert metrics.status_code == (403 if role is Role.AGENT else 200)
    rows = await runtime.session.database.read("SELECT actor, role, address, outcome FROM audit_log ORDER BY seq")
    assert rows == [
        ("viewer", "viewer", "127.0.0.1", "refused"),
        ("agent", "agent", "127.0.0.1", "refused"),
        ("operator", "operator", "127.0.0.1", "done"),
    ]


async def test_guessing_is_slowed_down() -> None:
    clock = HeldClock()
    settings = load_settings(database_url="sqlite://:memory:", auth=True)
    async with Runtime(settings=settings, agent=False, clock=clock) as runtime:
        tokens = runtime.session.client.tokens
        known, fresh = (await tokens.create("known", "viewer")).text, (await tokens.create("fresh", "viewer")).text
        async with httpx.AsyncClient(transport=httpx.ASGITransport(runtime.app), base_url=HOST) as http:
            assert await status(http, **bearer(known)) == 200
            assert [await status(http, **bearer(f"pl_{n}")) for n in range(FAILURES + 2)] == [401] * FAILURES + [429] * 2
            assert await status(http, **bearer(fresh)) == 429  # else guessing went on
            assert await status(http, **bearer(known)) == 200  # who works here is not locked out by others
            refused = await http.post("/api/session", json={"token": fresh})
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
            clock.advance(WITHIN)
            assert await status(http, **bearer(fresh)) == 200
        other = httpx.ASGITransport(runtime.app, client=("192.0.2.7", 1))
        async with httpx.AsyncClient(transport=other, base_url=HOST) as http:
            assert await status(http, **bearer("pl_x")) == 401


async def test_a_database_out_of_reach(http: httpx.AsyncClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> Any:
        raise StoreUnavailable("postgresql://secret-host is gone")

    monkeypatch.setattr(runtime.session.client.tokens._database, "read", fail)
    response = await http.post("/graphql", json=HELLO, headers=bearer("pl_x"))
    assert response.status_code == 503
    assert "secret-host" not in response.text


async def test_a_browser_logs_in_and_out(http: httpx.AsyncClient, token: str, runtime: Runtime) -> None:
    response = await http.post("/api/session", json={"token": token})
    assert response.json() == {"name": "alice", "role": "operator", "auth": True}
    cookies = response.headers.get_list("set-cookie")
    assert [part for cookie in cookies for part in cookie.split("; ") if part.startswith("Path")] == [
        "Path=/graphql",
        "Path=/api/session",
    ]
    for cookie in cookies:
        assert cookie.startswith("prefectlite-session-9999=")
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert token not in cookie
    assert await status(http) == 401  # the cookie alone is not enough
    assert await status(http, **OWN_PAGE) == 200
    assert (await http.get("/api/session", headers=OWN_PAGE)).json()["name"] == "alice"
    assert await status(http, **OWN_PAGE, origin="http://evil.example") == 403
    assert await status(http, **OWN_PAGE, origin=HOST) == 200
    stale = shown(http)
    assert (await http.delete("/api/session")).status_code == 403  # not from a page of our own
    assert (await http.delete("/api/session", headers=OWN_PAGE)).status_code == 204
    assert not list(http.cookies.jar)
    again = await http.post("/graphql", json=HELLO, headers={**OWN_PAGE, "cookie": stale})
    assert again.status_code == 401
    assert "Max-Age=0" in again.headers["set-cookie"]
    assert await status(http, **bearer(token)) == 200


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (b'{"token": "pl_wrong"}', "application/json", 401),
        ('{"token": "é\\ud83d"}'.encode(), "application/json", 400),
        (b'{"token": 1}', "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"token": "' + b"x" * 10_000 + b'"}', "application/json", 400),
        (b'{"token": "pl_wrong"}', "text/plain", 415),
        (b"token=pl_wrong", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_what_is_no_login(http: httpx.AsyncClient, content: bytes, kind: str, expected: int) -> None:
    response = await http.post("/api/session", content=content, headers={"content-type": kind})
    assert response.status_code == expected
    assert "set-cookie" not in response.headers


async def test_without_auth_everybody_is_the_local_admin() -> None:
    async with (
        Runtime(settings=load_settings(database_url="sqlite://:memory:"), agent=False) as runtime,
        httpx.AsyncClient(transport=httpx.ASGITransport(runtime.app), base_url=HOST) as http,
    ):
        assert (await http.get("/api/session")).json() == {"name": "local", "role": "admin", "auth": False}
        assert (await http.post("/api/session", json={"token": "x"})).status_code == 405
        assert await status(http, **bearer("whatever")) == 200


async def test_what_has_ended_is_no_guess(runtime: Runtime, http: httpx.AsyncClient, token: str) -> None:
    for _ in range(2 * FAILURES):  # as pages do whose login has ended
        assert await status(http, **bearer("pl_one and the same")) == 401
    assert await status(http, **bearer(token)) == 200
    for number in range(FAILURES):
        await status(http, **bearer(f"pl_{number}"))
    assert await status(http, **bearer("pl_another")) == 429


async def test_behind_a_proxy_that_takes_away_a_prefix(http: httpx.AsyncClient, token: str) -> None:
    for shown, path in {"/flows/": "/flows", "/": "", "/a; Domain=evil/": "", "//": "", "x": "", '/a"b': ""}.items():
        response = await http.post("/api/session", json={"token": token}, headers={"x-prefectlite": shown})
        paths = [one.split("Path=")[1].split(";")[0] for one in response.headers.get_list("set-cookie")]
        assert paths == [f"{path}/graphql", f"{path}/api/session"]


async def test_an_agents_token_opens_no_pages(runtime: Runtime, http: httpx.AsyncClient) -> None:
    token = (await runtime.session.client.tokens.create("one", Role.AGENT)).text
    response = await http.post("/api/session", json={"token": token})
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


async def test_a_link_logs_in_once(runtime: Runtime, http: httpx.AsyncClient) -> None:
    tokens = runtime.session.client.tokens
    link = tokens.new_link()
    assert (await http.post("/api/session", json={"link": link})).status_code == 401  # there is no admin
    await tokens.create("root", Role.ADMIN)
    link = tokens.new_link()
    assert (await http.post("/api/session", json={"token": link})).status_code == 401
    assert await status(http, **bearer(link)) == 401
    response = await http.post("/api/session", json={"link": link})
    assert response.json() == {"name": "root", "role": "admin", "auth": True}
    assert await status(http, **OWN_PAGE) == 200
    for wrong in (link, "", "x", "é"):
        assert (await http.post("/api/session", json={"link": wrong})).status_code == 401


async def test_a_mounted_application_asks_too(runtime: Runtime, token: str) -> None:
    outer = Starlette()
    outer.mount("/flows-of-ours", runtime.app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url=HOST) as http:
        assert (await http.post("/flows-of-ours/graphql", json=HELLO)).status_code == 401
        assert (await http.get("/flows-of-ours/api/health")).status_code == 200
        response = await http.post("/flows-of-ours/api/session", json={"token": token})
        assert "Path=/flows-of-ours/graphql" in response.headers["set-cookie"]
        assert (await http.post("/flows-of-ours/graphql", json=HELLO, headers=OWN_PAGE)).status_code == 200


async def test_websockets_by_header(port: int, token: str) -> None:
    async with dial(port, additional_headers=bearer(token)) as socket:
        await initialise(socket)
        await send(socket, id="1", type="subscribe", payload=HELLO)
        assert (await receive(socket))["payload"] == {"data": {"hello": "👋"}}
    with pytest.raises(InvalidStatus) as caught:
        async with dial(port, additional_headers=bearer("pl_wrong")):
            pass
    assert caught.value.response.status_code == 401


@pytest.mark.parametrize("name", ["token", "authorization", "Authorization"])
@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer  {}"])
async def test_websockets_by_the_first_message(port: int, token: str, name: str, form: str) -> None:
    async with dial(port) as socket:
        await send(socket, type="connection_init", payload={name: form.format(token)})
        assert await receive(socket) == {"type": "connection_ack"}
        mutation = 'mutation { create_project(input: {name: "x"}) { id } }'
        await send(socket, id="1", type="subscribe", payload={"query": mutation})
        assert "errors" not in (await receive(socket))["payload"]


@pytest.mark.parametrize("payload", [None, {}, {"token": ""}, {"token": "pl_wrong"}, {"token": "é"}, {"token": [1]}, "x"])
async def test_websockets_without_a_token(port: int, payload: Any) -> None:
    async with dial(port) as socket:
        await send(socket, type="connection_init", payload=payload)
        assert await close_code(socket) == 4403
    async with dial(port) as socket:
        await send(socket, id="1", type="subscribe", payload=HELLO)
        assert await close_code(socket) == 4401


async def test_who_shows_no_token_keeps_nobody_out(port: int, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "MAX_STRANGERS", 1)
    async with dial(port) as stranger:
        with pytest.raises(InvalidStatus):
            async with dial(port):
                pass
        async with dial(port, additional_headers=bearer(token)) as known:
            await initialise(known)
        await send(stranger, type="connection_init", payload={"token": token})
        assert await receive(stranger) == {"type": "connection_ack"}
        async with dial(port) as another:  # the first is none any more
            await send(another, type="connection_init", payload={"token": token})
            assert await receive(another) == {"type": "connection_ack"}
    async with dial(port):
        pass


async def test_one_token_has_not_all_websockets(
    port: int, token: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "MAX_OF_TOKEN", 1)
    other = (await runtime.session.client.tokens.create("other", Role.VIEWER)).text
    async with dial(port, additional_headers=bearer(token)) as first:
        await initialise(first)
        with pytest.raises(InvalidStatus):
            async with dial(port, additional_headers=bearer(token)):
                pass
        async with dial(port) as second:
            await send(second, type="connection_init", payload={"token": token})
            assert await close_code(second) == 1013
        async with dial(port, additional_headers=bearer(other)) as another:
            await initialise(another)
        async with dial(port, additional_headers={**bearer(token), "x-prefectlite-executor": "1"}) as agent:
            await initialise(agent)  # agents share tokens


async def test_websockets_of_a_browser(port: int, token: str) -> None:
    url = f"http://localhost:{port}"
    async with httpx.AsyncClient(base_url=url) as http:
        await http.post("/api/session", json={"token": token})
        cookie = shown(http)
    async with dial(port, additional_headers={"cookie": cookie}, origin=url) as socket:
        await initialise(socket)
    async with dial(port, additional_headers={"cookie": cookie}) as socket:  # no browser
        await send(socket, type="connection_init")
        assert await close_code(socket) == 4403
    with pytest.raises(InvalidStatus) as caught:
        async with dial(port, additional_headers={"cookie": cookie}, origin="http://evil.example"):
            pass
    assert caught.value.response.status_code == 403


async def test_a_websocket_ends_with_its_token(port: int, runtime: Runtime, token: str) -> None:
    async with dial(port) as socket:
        await send(socket, type="connection_init", payload={"token": token})
        await receive(socket)
        await send(socket, id="1", type="subscribe", payload={"query": "subscription { state_changes { seq } }"})
        [(token_id,)] = await runtime.session.database.read("SELECT id FROM api_token")
        await runtime.session.client.tokens.revoke(token_id)
        assert await close_code(socket) == 4403


async def test_pages_that_are_allowed_by_name(runtime: Runtime, token: str) -> None:
    ours = "http://localhost:3000"
    app = create_app(runtime.session, allowed_origins=[f"{ours}/"], auth=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST) as http:
        ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
        for origin, expected in {ours: ours, "http://localhost:3001": None, "https://localhost:3000": None}.items():
            before = await http.options("/graphql", headers={"origin": origin, **ask})
            response = await http.post("/graphql", json=HELLO, headers={"origin": origin, **bearer(token)})
            assert (before.status_code, response.status_code) == ((204, 200) if expected else (403, 403))
            for one in (before, response):
                assert one.headers.get("access-control-allow-origin") == expected
                assert "access-control-allow-credentials" not in one.headers
        assert before.headers.get("access-control-allow-headers") is None
        assert await status(http, origin=ours) == 401
        await http.post("/api/session", json={"token": token})
        assert await status(http, **OWN_PAGE) == 200
        assert await status(http, **OWN_PAGE, origin=ours) == 401  # its cookie is for our own pages only
    async with serving(app) as port, dial(port, origin=ours) as socket:
        await send(socket, type="connection_init", payload={"token": token})
        assert await receive(socket) == {"type": "connection_ack"}


@pytest.mark.parametrize("origin", ["*", "localhost:3000", "ftp://a", "http://a/b", "", "http://*.example", "null"])
async def test_what_is_no_origin(runtime: Runtime, origin: str) -> None:
    with pytest.raises(SettingsError, match="is no origin"):
        create_app(runtime.session, allowed_origins=[origin])
