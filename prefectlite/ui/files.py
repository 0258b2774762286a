"""The built web application as the API serves it: which path is which file, and the page around every client route."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

#: Where the build of `web/` puts the web application.
DIST = Path(__file__).resolve().parent / "dist"

#: What the pages may load: files of their own, and drawn icons. To be sent with every page.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data:",
        "base-uri 'self'",
        "form-action 'self'",
        "object-src 'none'",
        "frame-ancestors 'self'",
    ]
)

_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGES = ("/runs", "/flows")
_BASE = b'<base href="./"'
_MISSING = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>prefectlite: the web pages are not built</title>
<h1>The web pages are not built</h1>
<p>prefectlite runs and its API answers, but this copy was started from sources without the built pages.</p>
<p>Either install the package, which builds them: <code>pip install .</code>
<p>or build them in <code>prefectlite/ui/web</code>: <code>npm ci &amp;&amp; npm run build</code>.
<p>Then start prefectlite again.</p>
"""


class StaticFile(msgspec.Struct, frozen=True):
    """A file as it is sent: its bytes and the two headers that go with them."""

    content_type: str
    cache_control: str
    body: bytes


@cache
def static_files() -> dict[str, StaticFile]:
    """Every built file by its path, such as `/assets/index-1a2b.js`; read once, empty when nothing is built.

    Only these paths exist, so that no request can name a file outside the build. index.html is not among them: it
    depends on the page it is sent for, see `index_html`.
    """
    found: dict[str, StaticFile] = {}
    for file in sorted(DIST.rglob("*")):
        content_type = _CONTENT_TYPES.get(file.suffix)
        if content_type is None or not file.is_file() or file == DIST / "index.html":
            continue
        path = "/" + file.relative_to(DIST).as_posix()
        # Names under assets/ contain the hash of what is in them.
        lasting = path.startswith("/assets/")
        cache_control = "public, max-age=31536000, immutable" if lasting else "no-cache"
        found[path] = StaticFile(content_type, cache_control, file.read_bytes())
    return found


def is_page(path: str) -> bool:
    """Whether the web application has a page at this path, so that `index_html` answers it."""
    return path in ("", "/") or any(path == page or path.startswith(page + "/") for page in _PAGES)


def index_html(path: str = "/") -> bytes:
    """The page to send for a client route; without a build, a page that says how to make one.

    `path` is the route inside the application, without the prefix of a proxy. Its depth decides the page's relative
    base, so that the application finds its files and its API under any prefix without being told it.
    """
    page = _index()
    depth = path.removeprefix("/").count("/")
    return page.replace(_BASE, f'<base href="{"../" * depth or "./"}"'.encode(), 1)


@cache
def _index() -> bytes:
    try:
        return (DIST / "index.html").read_bytes()
    except FileNotFoundError:
        return _MISSING
