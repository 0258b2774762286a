"""Posting JSON to a URL that somebody else gave: to the checked address, without redirects, within limits."""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from prefectlite.errors import BadRequest
from prefectlite.lazily import lazily
from prefectlite.notifications.addresses import Resolve, checked_addresses, resolve
from prefectlite.notifications.delivery import DeliveryError, DeliveryRefused
from prefectlite.version import __version__

if TYPE_CHECKING:
    import ssl

    import httpx
else:
    httpx = lazily("httpx")  # 70 ms that only those pay who send something

#: Seconds from looking the host up to the end of the answer.
TIMEOUT = 10.0
#: Bytes of an answer that are taken; nobody reads more than its status.
MOST_BYTES = 64 * 1024
_LONGEST_URL = 2_000


def checked_url(url: Any, *, allow_private: bool) -> str:
    """`url`, if something can be posted there. Raises BadRequest, which does not quote it: it may hold a secret."""
    if not isinstance(url, str) or not url or len(url) > _LONGEST_URL:
        raise BadRequest(f"config.url: a URL is needed, of at most {_LONGEST_URL:,} characters")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise BadRequest("config.url: this is not a URL") from None
    if parsed.scheme not in (("http", "https") if allow_private else ("https",)):
        raise BadRequest("config.url: it has to begin with https://")
    if not parsed.host or not 0 < (parsed.port or 443) < 2**16:
        raise BadRequest("config.url: a host is needed in it, and a port that there can be")
    return url


async def post(
    url: str,
    message: Mapping[str, Any],
    headers: Mapping[str, str],
    *,
    allow_private: bool,
    resolve: Resolve = resolve,
    timeout: float = TIMEOUT,
) -> None:
    """Post `message` as JSON; return when the answer says that it was taken.

    Raises DeliveryError, saying why it was not, and DeliveryRefused where it must not be sent at all.
    """
    try:
        target = httpx.URL(checked_url(url, allow_private=allow_private))
    except BadRequest as error:
        raise DeliveryRefused(str(error)) from None
    try:
        async with asyncio.timeout(timeout):
            port = target.port or (443 if target.scheme == "https" else 80)
            addresses = await checked_addresses(target.host, port, resolve, allow_private=allow_private)
            await _post_to_one_of(addresses, target, msgspec.json.encode(message), headers)
    except TimeoutError:
        raise DeliveryError(f"{target.host} did not answer within {timeout:g} s") from None
    except (httpx.HTTPError, OSError) as error:
        raise DeliveryError(f"{target.host} cannot be reached: {_told(error)}") from None


async def _post_to_one_of(addresses: list[str], url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> None:
    for number, address in enumerate(addresses, 1):
        try:
            await _post_to(address, url, body, headers)
            return
        except httpx.ConnectError:
            if number == len(addresses):
                raise


async def _post_to(address: str, url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> None:
    """Post to this address, whatever the name stands for by now; Host, and the name in the certificate, stay the URL's."""
    own = {
        "Host": url.netloc.decode("ascii"),
        "Content-Type": "application/json",
        "User-Agent": f"prefectlite/{__version__}",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **_authorization(url),
        **headers,
    }
    pinned = url.copy_with(host=address, username=None, password=None, fragment=None)
    request = httpx.Request(
        "POST", pinned, content=body, headers=own, extensions={"sni_hostname": url.raw_host.decode("ascii")}
    )
    # The bare transport: it follows nothing, goes by no proxy, and logs no URL, in which there may be a secret.
    trusted = await asyncio.to_thread(_trusted)
    async with httpx.AsyncHTTPTransport(verify=trusted, trust_env=False) as transport:
        response = await transport.handle_async_request(request)
        try:
            await _taste(response)
        finally:
            await response.aclose()
    if not response.is_success:
        raise DeliveryError(f"{url.host} answered with HTTP {response.status_code}")


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates count. Reading them takes as long as many messages, so they are read once, and in a thread."""
    return httpx.create_ssl_context(trust_env=False)


def _authorization(url: httpx.URL) -> dict[str, str]:
    if not url.userinfo:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{url.username}:{url.password}".encode()).decode()}


async def _taste(response: httpx.Response) -> None:
    """Take the answer, as far as it is taken, so that the other side sees its end."""
    size = 0
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async for chunk in response.stream:
        size += len(chunk)
        if size > MOST_BYTES:
            return


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
