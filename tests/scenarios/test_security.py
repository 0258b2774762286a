"""What a server process lets others do to it: the probe that every release has to pass, and tokens from end to end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from prefectlite import Client
from prefectlite.errors import ApiError
from tests.scenarios.processes import Server, prefectlite, rows, serving

HELLO = b'{"query": "{ hello }"}'
CREATE = {"query": 'mutation { create_project(input: {name: "evil"}) { id } }'}
BROWSER_HEADERS = ("content-security-policy", "x-frame-options", "x-content-type-options", "referrer-policy")


def send_slowly(port: int, text: bytes) -> socket.socket:
    """A connection on which no more comes than `text`."""
    opened = socket.create_connection(("127.0.0.1", port), timeout=30)
    opened.sendall(text)
    return opened


def seconds_until_closed(opened: socket.socket, since: float) -> float:
    """How long after `since` the other side closed the connection."""
    with contextlib.suppress(ConnectionResetError):
        while opened.recv(65_536):
            pass
    return time.monotonic() - since


def status_of(port: int, head: bytes, chunk: bytes = b"", most: int = 0) -> tuple[int, int]:
    """The status of the answer to a request whose body is sent until the server answers, and how much of it was sent."""
    sent, rest = 0, b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as opened:
        opened.sendall(head)
        opened.setblocking(False)
        while sent < most:
            try:
                rest = rest or chunk
                written = opened.send(rest)
                sent, rest = sent + written, rest[written:]
            except BlockingIOError:
                time.sleep(0.001)
            except (ConnectionResetError, BrokenPipeError):
                break
            try:
                return int(opened.recv(4_096).split()[1]), sent
            except BlockingIOError:
                continue
            except ConnectionResetError:
                break
        opened.setblocking(True)
        return int(opened.recv(4_096).split()[1]), sent


def projects(server: Server) -> list[Any]:
    return list(server.graphql('{ project(where: {name: {_eq: "evil"}}) { id } }')["project"])


def test_the_probe(tmp_path: Path, free_port: int) -> None:
    with contextlib.ExitStack() as stack, serving(port=free_port, cwd=tmp_path) as server:
        began = time.monotonic()
        head = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        slow = [head, b"", head + b"Content-Length: 900\r\n\r\n{"]
        held = [stack.enter_context(send_slowly(free_port, text)) for text in slow]
        with httpx.Client(base_url=server.url) as http:
            json_body = {"content-type": "application/json"}
            evil = {"origin": "http://evil.example"}
            assert http.post("/graphql", json=CREATE, headers={"host": "evil.example"}).status_code == 421
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"):
                for headers in ({}, evil, {"sec-fetch-site": "cross-site"}):
                    response = http.post("/graphql", content=json.dumps(CREATE), headers={"content-type": kind, **headers})
                    assert response.status_code in (403, 415)
            for method in ("OPTIONS", "POST", "GET"):
                asked = {**evil, "access-control-request-method": "POST"}
                response = http.request(method, "/graphql", json=CREATE, headers=asked)
                assert response.status_code == 403
                assert not [name for name in response.headers if name.startswith("access-control-")]
            assert http.get("/graphql", params=CREATE).status_code == 405
            page = http.get("/")
            assert page.status_code == 200
            assert all(name in page.headers for name in BROWSER_HEADERS)
            assert projects(server) == []
            aliases = {"query": "{" + " ".join(f"a{n}: hello" for n in range(5_000)) + "}"}
            http.post("/graphql", json={"query": "{ hello }"})
            response = http.post("/graphql", json=aliases)
            assert response.status_code == 400
            assert http.post("/graphql", content=HELLO, headers=json_body).status_code == 200
        with pytest.raises(InvalidStatus) as caught:
            connect(server.url.replace("http", "ws") + "/graphql", origin="http://evil.example", proxy=None)  # type: ignore[arg-type]
        assert caught.value.response.status_code == 403
        large = head + b"Content-Length: 100000000\r\n\r\n"
        status, sent = status_of(free_port, large, b"x" * 65_536, 100_000_000)
        assert status == 413
        assert sent < 20_000_000  # what lay in the buffers of the operating system
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        status, sent = status_of(free_port, head + b"Transfer-Encoding: chunked\r\n\r\n", chunk, 100_000_000)
        assert status == 413
        assert sent < 30_000_000
        assert status_of(free_port, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ", b"x" * 65_536, 300_000)[0] == 400
        assert all(seconds_until_closed(one, began) <= 10 for one in held)
        assert server.graphql("{ hello }")
        code, output = server.stop()
    assert code == 0
    assert "Traceback" not in output


@pytest.mark.parametrize(("host", "auth"), [("0.0.0.0", ()), ("::", ("--no-auth",)), ("box.lan", ())])
def test_no_open_door(tmp_path: Path, host: str, auth: tuple[str, ...]) -> None:
    ended = prefectlite("serve", "--host", host, *auth, cwd=tmp_path)
    assert ended.returncode == 78
    assert f"--host {host}: addresses other than loopback are served with tokens only. Add --auth" in ended.stderr
    assert not (tmp_path / "home" / "token").exists()


def test_another_address_with_tokens(tmp_path: Path, free_port: int) -> None:
    with serving("--host", "0.0.0.0", "--auth", port=free_port, cwd=tmp_path) as server:
        assert httpx.post(f"{server.url}/graphql", content=HELLO).status_code == 401
        named = {"host": f"{socket.gethostname().lower()}:{free_port}", "content-type": "application/json"}
        named["authorization"] = f"Bearer {(tmp_path / 'home' / 'token').read_text().strip()}"
        answered = httpx.post(f"{server.url}/graphql", content=HELLO, headers=named).status_code
        assert answered in (200, 421)  # some machines have names that are none
        _, output = server.stop()
    assert "Tokens travel as they are" in output
    assert ("Flows are executed as root" in output) == (os.geteuid() == 0)


def test_tokens_from_end_to_end(tmp_path: Path, free_port: int) -> None:
    with serving("--auth", port=free_port, cwd=tmp_path) as server:
        file = tmp_path / "home" / "token"
        admin = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) & 0o077 == 0
        for path in ("/graphql", "/metrics"):
            assert httpx.get(server.url + path).status_code == 401
        made = prefectlite("token", "create", "v", "--role", "viewer", "--api", server.url, cwd=tmp_path)  # by the file
        assert made.returncode == 0, made.stderr
        viewer = made.stdout.strip()
        as_viewer = {"PREFECTLITE_API_TOKEN": viewer, "PREFECTLITE_API_URL": server.url}
        assert prefectlite("kv", "list", cwd=tmp_path, **as_viewer).returncode == 0
        refused = prefectlite("kv", "set", "a", "b", cwd=tmp_path, **as_viewer)
        assert (refused.returncode, "may not use set_key_value" in refused.stderr) == (77, True)
        unknown = prefectlite("kv", "list", cwd=tmp_path, **{**as_viewer, "PREFECTLITE_API_TOKEN": "pl_wrong"})
        assert (unknown.returncode, "token is not known" in unknown.stderr) == (77, True)
        assert prefectlite("token", "revoke", "v", "--api", server.url, cwd=tmp_path).returncode == 0
        assert "token is not known" in prefectlite("kv", "list", cwd=tmp_path, **as_viewer).stderr

        async def without() -> None:
            async with Client(server.url, token="pl_wrong") as client:
                with pytest.raises(ApiError, match="not known"):
                    await client.graphql("{ hello }")

        asyncio.run(without())
        code, output = server.stop()
    assert code == 0
    assert f"an admin's is in {file}" in output
    assert not [word for word in (admin, viewer, "pl_") if word in output]
    written = b"".join(path.read_bytes() for path in tmp_path.glob("test.sqlite*") if path.is_file())
    assert admin.encode() not in written
    assert viewer.encode() not in written
    audited = rows(tmp_path / "test.sqlite", "SELECT actor, action, outcome FROM audit_log ORDER BY seq")
    assert audited == [
        ("admin", "create_api_token", "done"),
        ("v", "set_key_value", "refused"),
        ("admin", "revoke_api_token", "done"),
    ]


def test_what_the_server_writes_is_for_its_user_only(tmp_path: Path, free_port: int) -> None:
    before = os.umask(0o022)
    try:
        with serving("--auth", port=free_port, cwd=tmp_path, PREFECTLITE_DATABASE_URL="") as server:
            server_files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in server_files}
            server.stop()
    finally:
        os.umask(before)
    assert "prefectlite.sqlite" in modes
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
