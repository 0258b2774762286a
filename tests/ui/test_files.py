"""Which files of the web application are sent: those that the build made, and nothing beside, below or above them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from prefectlite.api.guard import Guard
from prefectlite.api.pages import page
from prefectlite.ui import files

CANARY = "canary-value"
UPS = (
    "../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..\\", "..%5c", "%252e%252e%252f", "..%c0%af", "....//", "..;/", ".%00./",
    "./../",
)  # fmt: skip
TARGETS = ("secret.txt", "secret.txt%00.js", "private/secret.txt", "secret.txt.", "secret.txt%20", "SECRET.TXT")
STARTS = ("/", "//", "/assets/", "/assets/../", "/runs/", "/%2f")
PATHS = [
    *(
        f"{start}{up * times}{target}"
        for start, up, target in itertools.product(STARTS, UPS, TARGETS[:3])
        for times in (1, 2)
    ),
    *(f"{start}{target}" for start, target in itertools.product(STARTS, TARGETS)),
    *("/link.txt", "/link.js", "/linked/secret.txt", "/assets/.hidden", "/.git/config", "/assets", "/assets/", "/a.js/"),
    *("/file:///etc/passwd", "/C:/secret.txt", "/\\secret.txt", "/index.html", "/assets/app.py", "/..", "/."),
]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A build of two files, with secrets beside it, and links to them."""
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (tmp_path / "private").mkdir()
    (dist / "a.js").write_text("script")
    (dist / "assets" / "b.css").write_text("style")
    for place in (tmp_path, tmp_path / "private"):
        (place / "secret.txt").write_text(CANARY)
    (dist / "assets" / "app.py").write_text(CANARY)
    (dist / "assets" / ".hidden").write_text(CANARY)
    (dist / "link.txt").symlink_to(tmp_path / "secret.txt")
    (dist / "linked").symlink_to(tmp_path / "private")
    monkeypatch.setattr(files, "DIST", dist)
    files.static_files.cache_clear()
    files._index.cache_clear()
    yield dist
    files.static_files.cache_clear()
    files._index.cache_clear()


def test_there_are_enough_paths() -> None:
    assert len(set(PATHS)) >= 300


@pytest.mark.asyncio
async def test_no_path_leads_out_of_the_build(build: Path) -> None:
    app = Guard(Starlette(routes=[Route("/{path:path}", page)]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:1") as http:
        assert [(await http.get(path)).text for path in ("/a.js", "/assets/b.css")] == ["script", "style"]
        for path in PATHS:
            response = await http.send(http.build_request("GET", httpx.URL("http://localhost:1", raw_path=path.encode())))
            assert CANARY not in response.text, path
            assert response.status_code == 404 or response.headers["content-type"].startswith("text/html"), path
