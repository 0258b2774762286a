"""The web application's files and pages, as Starlette sends them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from prefectlite.ui.files import CONTENT_SECURITY_POLICY, index_html, is_page, static_files


async def page(request: Request) -> Response:
    """The built file of that path, or the page that all client routes share, or 404."""
    path = f"/{request.path_params['path']}"
    file = static_files().get(path)
    if file is not None:
        headers = {"cache-control": file.cache_control, "content-type": file.content_type}
        return Response(file.body, headers=headers)
    if not is_page(path):
        return PlainTextResponse("There is nothing here\n", 404)
    headers = {"cache-control": "no-cache", "content-security-policy": CONTENT_SECURITY_POLICY}
    return Response(index_html(path), media_type="text/html", headers=headers)
