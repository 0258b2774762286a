"""Tokens and addresses: what a server is shown, and what nobody else is."""

from __future__ import annotations

import base64
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from prefectlite import context
from prefectlite.errors import FlowError, FlowSourceMissing
from prefectlite.secrets import make_known
from prefectlite.settings import replaced_settings
from prefectlite.storage.git_source import GitSource
from prefectlite.storage.source import load_flow
from tests.storage.repositories import Repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git command")
TOKEN = "glpat-s3cret-t0ken"
FLOW = "from prefectlite import Flow\nwith Flow('daily') as flow: ...\n"


def _backend() -> str | None:
    if shutil.which("git") is None:
        return None
    path = subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip()
    return shutil.which("git-http-backend", path=path)


class GitServer(http.server.ThreadingHTTPServer):
    """Serves the repositories in a directory to those who show the token, by git's own CGI program."""

    def __init__(self, home: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.home, self.shown, self.elsewhere = home, [], ""

    home: Path
    shown: list[str | None]
    elsewhere: str  # where it sends everybody

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: GitServer

    def do_GET(self) -> None:
        given = self.headers.get("Authorization")
        self.server.shown.append(given)
        if self.server.elsewhere:
            self.send_response(302)
            self.send_header("Location", self.server.elsewhere + self.path)
            self.end_headers()
        elif given is None or base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")[2] != TOKEN:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic realm=x")
            self.end_headers()
        else:
            self._answer()

    do_POST = do_GET

    def _answer(self) -> None:
        url, length = urlsplit(self.path), int(self.headers.get("Content-Length") or 0)
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.home),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
        }
        backend = _backend()
        assert backend is not None
        done = subprocess.run([backend], input=self.rfile.read(length), env=environ, capture_output=True, check=False)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests need no lines of their own on standard error."""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PREFECTLITE_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    make_known()
    with replaced_settings(git_protocols=("http",)):
        yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    if _backend() is None:
        pytest.skip("git has no HTTP server here")
    with GitServer(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.commit({"flow.py": FLOW})
    return made


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the arguments of every git command that was started."""
    file, real = tmp_path / "arguments", shutil.which("git")
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> '{file}'\nexec '{real}' \"$@\"\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    return file


def test_a_token_goes_to_the_server_and_nowhere_else(
    server: GitServer, repository: Repository, arguments: Path, tmp_path: Path
) -> None:
    source = GitSource("daily", "flow.py", f"{server.url}/flows.git", git_token_secret_name="T", git_token_username="me")
    with context(secrets={"T": TOKEN}):
        pinned = source.ready()
        assert load_flow(pinned).name == "daily"
    basic = base64.b64encode(f"me:{TOKEN}".encode()).decode()
    assert set(server.shown) == {f"Basic {basic}"}
    assert "ls-remote" in arguments.read_text()
    kept = [file for file in (tmp_path / "data").rglob("*") if file.is_file()]
    assert kept
    for text in (arguments.read_bytes(), repr(pinned).encode(), *(file.read_bytes() for file in kept)):
        assert TOKEN.encode() not in text
        assert basic.encode() not in text
    assert load_flow(pinned).name == "daily"  # it is here already: no secret is needed


@pytest.mark.parametrize(
    ("user", "name", "password"), [("", "x-access-token", TOKEN), ("me:", "me", TOKEN), ("m%40e:", "m@e", TOKEN)]
)
def test_an_url_with_a_token_in_a_secret(
    user: str, name: str, password: str, server: GitServer, repository: Repository, arguments: Path
) -> None:
    url = server.url.replace("://", f"://{user}{password}@")
    source = GitSource("daily", "flow.py", git_clone_url_secret_name="URL")
    with context(secrets={"URL": f"{url}/flows.git"}):
        pinned = source.ready()
    assert pinned.place.startswith("flow.py in the repository of the secret 'URL' at ")
    assert set(server.shown) == {"Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
    assert TOKEN not in arguments.read_text()


def test_a_token_that_is_wrong_is_not_told(server: GitServer, repository: Repository) -> None:
    source = GitSource("daily", "flow.py", f"{server.url}/flows.git", git_token_secret_name="T")
    wrong = "another-t0ken"
    with (
        context(secrets={"T": wrong}),
        pytest.raises(FlowSourceMissing, match="the token is not taken, or may not") as caught,
    ):
        source.ready()
    assert wrong not in str(caught.value)


def test_without_a_token_nobody_is_asked_for_one(server: GitServer, repository: Repository) -> None:
    with pytest.raises(FlowSourceMissing, match="git is not let in, or there is no such repository: check the name"):
        GitSource("daily", "flow.py", f"{server.url}/flows.git").ready()


def test_another_server_is_not_shown_the_token(server: GitServer, repository: Repository, tmp_path: Path) -> None:
    with GitServer(tmp_path) as other:
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        server.elsewhere = other.url
        source = GitSource("daily", "flow.py", f"{server.url}/flows.git", git_token_secret_name="T")
        with context(secrets={"T": TOKEN}), pytest.raises(FlowSourceMissing, match="has moved, and a token is not shown"):
            source.ready()
        allowed = replaced_settings(git_protocols=("http",), git_hosts=("127.0.0.1", "localhost"))
        with allowed, pytest.raises(FlowSourceMissing, match="has moved, and the setting git_hosts keeps git"):
            GitSource("daily", "flow.py", f"{server.url}/flows.git").ready()
        other.shutdown()
        thread.join()
    assert other.shown == []


def test_a_repository_that_the_server_does_not_have(server: GitServer, repository: Repository) -> None:
    source = GitSource("daily", "flow.py", f"{server.url}/others.git", git_token_secret_name="T")
    with context(secrets={"T": TOKEN}), pytest.raises(FlowSourceMissing, match="there is no such repository"):
        source.ready()


def test_a_host_that_cannot_be_reached(free_port: int) -> None:
    with pytest.raises(FlowSourceMissing, match="its host cannot be reached: check the name of the host"):
        GitSource("daily", "flow.py", f"http://127.0.0.1:{free_port}/flows.git").ready()


def test_a_secret_that_is_not_there() -> None:
    source = GitSource("daily", "flow.py", "http://localhost/x", git_token_secret_name="NO_SUCH")
    with pytest.raises(FlowSourceMissing, match="Set it with `prefectlite secrets set NO_SUCH`"):
        source.ready()


@pytest.mark.parametrize("token", ["", "a b", "a\nX-Header: y", "a\0b", ["a"], None])
def test_a_secret_that_is_no_token(token: Any) -> None:
    source = GitSource("daily", "flow.py", "http://localhost/x", git_token_secret_name="T")
    with context(secrets={"T": token}), pytest.raises(FlowSourceMissing, match="the secret 'T' has to be a text without"):
        source.ready()


@pytest.mark.parametrize(
    "url", ["ext::sh -c x", "--upload-pack=x", f"http://{TOKEN}@-x/y", f"{TOKEN}", f"ftp://me:{TOKEN}@x/y"]
)
def test_a_secret_that_is_no_url(url: str) -> None:
    source = GitSource("daily", "flow.py", git_clone_url_secret_name="URL")
    with context(secrets={"URL": url}), pytest.raises((FlowError, FlowSourceMissing)) as caught:
        source.ready()
    assert "'URL'" in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        ({}, ("https://github.com/me/flows.git", "x-access-token", "1234")),
        ({"repo_host": "gitlab.com"}, ("https://gitlab.com/me/flows.git", "oauth2", "1234")),
        ({"repo_host": "bitbucket.org"}, ("https://bitbucket.org/me/flows.git", "x-token-auth", "1234")),
        ({"repo_host": "git.example.com:8443"}, ("https://git.example.com:8443/me/flows.git", "x-access-token", "1234")),
        ({"git_token_username": "you"}, ("https://github.com/me/flows.git", "you", "1234")),
        ({"use_ssh": True}, ("git@github.com:me/flows.git", "", "")),
        ({"use_ssh": True, "repo_host": "h:2222"}, ("ssh://git@h:2222/me/flows.git", "", "")),
        ({"repo": "https://h/x/y"}, ("https://h/x/y", "x-access-token", "1234")),
    ],
)
def test_addresses(arguments: dict[str, Any], address: tuple[str, str, str]) -> None:
    with context(secrets={"T": "1234"}):
        source = GitSource(**{"flow_path": "f.py", "repo": "me/flows", "git_token_secret_name": "T", **arguments})
        assert source._address() == address
