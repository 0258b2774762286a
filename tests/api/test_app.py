"""The HTTP contract: routes, bodies, statuses."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from prefectlite import Runtime
from prefectlite.api.app import create_app, warm
from prefectlite.version import __version__

JSON = {"content-type": "application/json"}


@pytest.mark.asyncio
async def test_health(http: httpx.AsyncClient) -> None:
    response = await http.get("/api/health")
    assert response.json() == {"status": "ok", "version": __version__}
    assert response.headers["cache-control"] == "no-store"


def test_importing_the_app_loads_no_graphql() -> None:
    code = "import sys, prefectlite.api.app; print([m for m in sys.modules if m.split('.')[0] in ('graphene', 'graphql')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.asyncio
async def test_warming_up_is_allowed_twice(runtime: Runtime) -> None:
    app = create_app(runtime.session)
    await warm(app)
    await warm(app)


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/"])
async def test_three_addresses_take_operations(http: httpx.AsyncClient, path: str) -> None:
    response = await http.post(path, json={"query": "{ hello }"})
    assert (response.status_code, response.json()) == (200, {"data": {"hello": "👋"}})
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.asyncio
@pytest.mark.parametrize("variables", ["null", "", None, {}, "{}", '{"n": 1}', {"n": 1}, {"n": None}])
async def test_variables_come_as_object_text_or_null(http: httpx.AsyncClient, variables: Any) -> None:
    query = "query q($n: Int) { flow(limit: $n) { name } }"
    response = await http.post("/", json={"query": query, "variables": variables})
    flows = response.json()["data"]["flow"]
    given = variables in ('{"n": 1}', {"n": 1})
    assert len(flows) == (1 if given else 2)


@pytest.mark.asyncio
async def test_the_operation_can_be_named(http: httpx.AsyncClient) -> None:
    body = {"query": "query a { hello } query b { api { mode } }", "operationName": "b"}
    assert (await http.post("/graphql", json=body)).json() == {"data": {"api": {"mode": "normal"}}}
    response = await http.post("/graphql", json={**body, "operationName": "c"})
    assert response.status_code == 400
    assert "no operation 'c'" in response.json()["errors"][0]["message"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"query": "\\ud800"}', "JSON"),
        (b"3", "an object with `query`"),
        (b"[]", "1 to 25 operations"),
        (b"[" + b'{"query": "{hello}"},' * 25 + b'{"query": "{hello}"}]', "1 to 25 operations"),
        (b'["x"]', "an object with `query`"),
        (b"{}", "`query` is missing"),
        (b'{"query": 1}', "`query` is missing"),
        (b'{"query": " "}', "`query` is missing"),
        (b'{"query": "{hello}", "variables": []}', "`variables` is not an object"),
        (b'{"query": "{hello}", "variables": "[]"}', "`variables` is not an object"),
        (b'{"query": "{hello}", "variables": "x"}', "`variables` is not JSON"),
        (b'{"query": "{hello}", "operationName": 1}', "`operationName`"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
async def test_bodies_that_are_no_request(http: httpx.AsyncClient, body: bytes, message: str) -> None:
    response = await http.post("/graphql", content=body, headers=JSON)
    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert message in error["message"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", ""]
)
async def test_only_json_is_taken(http: httpx.AsyncClient, runtime: Runtime, content_type: str) -> None:
    body = b'{"query": "mutation { create_project(input: {name: \\"evil\\"}) { id } }"}'
    response = await http.post("/graphql", content=body, headers={"content-type": content_type})
    assert response.status_code == 415
    rows = await runtime.session.database.read("SELECT count(*) FROM project WHERE name = 'evil'")
    assert rows == [(0,)]


@pytest.mark.asyncio
async def test_json_may_say_its_charset(http: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await http.post("/", content=b'{"query": "{hello}"}', headers=headers)).status_code == 200


@pytest.mark.asyncio
async def test_large_bodies_are_not_read_to_the_end(http: httpx.AsyncClient) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while given < 100_000_000:
            given += 1_000_000
            yield b" " * 1_000_000

    response = await http.post("/graphql", content=endless(), headers=JSON)
    assert response.status_code == 413
    declared = await http.post("/graphql", content=b"", headers={**JSON, "content-length": "100000000"})
    assert declared.status_code == 413


@pytest.mark.asyncio
async def test_a_batch_is_answered_in_order(http: httpx.AsyncClient) -> None:
    batch = [{"query": "{ hello }"}, {"query": "{ nothing }"}, {"query": "{ api { mode } }", "variables": "null"}]
    response = await http.post("/graphql", json=batch)
    assert response.status_code == 200
    first, second, third = response.json()
    assert (first, third) == ({"data": {"hello": "👋"}}, {"data": {"api": {"mode": "normal"}}})
    assert second["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


@pytest.mark.asyncio
async def test_a_batch_shares_one_budget(http: httpx.AsyncClient) -> None:
    aliases = " ".join(f"a{n}: hello" for n in range(30))
    answers = (await http.post("/graphql", json=[{"query": f"{{ {aliases} }}"}] * 5)).json()
    assert ["errors" in answer for answer in answers] == [False, False, False, True, True]


@pytest.mark.asyncio
async def test_queries_by_get(http: httpx.AsyncClient) -> None:
    query = "query q($n: Int) { flow(limit: $n) { name } }"
    response = await http.get("/graphql", params={"query": query, "variables": '{"n": 1}', "operationName": "q"})
    assert response.status_code == 200
    assert len(response.json()["data"]["flow"]) == 1
    assert (await http.get("/graphql")).status_code == 400


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
async def test_nothing_is_changed_by_get(http: httpx.AsyncClient, runtime: Runtime, path: str) -> None:
    mutation = 'mutation { create_project(input: {name: "evil"}) { id } }'
    response = await http.get(path, params={"query": mutation})
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert await runtime.session.database.read("SELECT count(*) FROM project WHERE name = 'evil'") == [(0,)]
    two = f"query a {{ hello }} {mutation.replace('mutation', 'mutation b')}"
    assert (await http.get(path, params={"query": two, "operationName": "b"})).status_code == 405
    assert (await http.get(path, params={"query": two, "operationName": "a"})).status_code == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused(http: httpx.AsyncClient, method: str) -> None:
    response = await http.request(method, "/graphql", json={"query": "{ hello }"})
    assert response.status_code == 405
    assert not any(name.startswith("access-control") for name in response.headers)


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/", "/runs", "/runs/x/y", "/flows/x"])
async def test_pages_of_the_ui(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "path", ["/nothing", "/api/nothing", "/assets/../app.py", "/assets/%2e%2e/app.py", "/.env", "/graphql/x"]
)
async def test_there_is_nothing_else(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 404


@pytest.mark.asyncio
async def test_foreign_hosts_and_origins_have_no_effect(http: httpx.AsyncClient, runtime: Runtime) -> None:
    body = {"query": 'mutation { create_project(input: {name: "evil"}) { id } }'}
    assert (await http.post("/graphql", json=body, headers={"host": "evil.example"})).status_code == 421
    assert (await http.post("/graphql", json=body, headers={"origin": "http://evil.example"})).status_code == 403
    assert await runtime.session.database.read("SELECT count(*) FROM project WHERE name = 'evil'") == [(0,)]


KINDS = (
    "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "application/graphql",
    "application/csp-report", "application/json-patch+json", "", "application/json",
)  # fmt: skip
ORIGINS = (None, "null", "http://evil.example", "http://localhost:1", "https://localhost.evil.example", "file://")
SITES = (None, "cross-site", "same-site")


@pytest.mark.asyncio
@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_no_page_of_another_site_changes_anything(http: httpx.AsyncClient, runtime: Runtime, method: str) -> None:
    query = 'mutation { create_project(input: {name: "evil"}) { id } }'
    body = {"params": {"query": query}} if method in ("GET", "HEAD") else {"json": {"query": query}}
    for kind, origin, site in itertools.product(KINDS, ORIGINS, SITES):
        if kind == "application/json" and origin is None and site is None:
            continue  # no page can send this: browsers ask beforehand, and name the origin
        headers = {"content-type": kind, "cookie": "prefectlite-session=a", "origin": origin, "sec-fetch-site": site}
        sent = {name: value for name, value in headers.items() if value is not None}
        response = await http.request(method, "/graphql", **body, headers=sent)  # type: ignore[arg-type]
        assert response.status_code in (400, 403, 405, 415), (kind, origin, site)
    assert await runtime.session.database.read("SELECT count(*) FROM project WHERE name = 'evil'") == [(0,)]
