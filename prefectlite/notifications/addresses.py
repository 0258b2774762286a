"""Which addresses messages may be sent to: those of the Internet, and not what only this machine can reach."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from prefectlite.notifications.delivery import DeliveryError, DeliveryRefused

#: All addresses of a host; raises OSError.
Resolve = Callable[[str, int], Awaitable[list[str]]]
# Ways around the rules: what is sent there may come out at an address of another kind.
_DETOURS_4 = (IPv4Network("192.88.99.0/24"),)  # relays of 6to4
_DETOURS_6 = tuple(
    IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "fec0::/10",  # site-local, of old
    )
)


def is_public(address: str) -> bool:
    """Whether anybody on the Internet could send something to this address."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.scope_id is not None:
        return False
    detours: tuple[IPv4Network | IPv6Network, ...] = _DETOURS_4 if isinstance(found, IPv4Address) else _DETOURS_6
    if any(found in network for network in detours):
        return False
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the operating system knows them; raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def checked_addresses(host: str, port: int, resolve: Resolve, *, allow_private: bool) -> list[str]:
    """The addresses of a host, asked for once: who connects must use these, as the next answer may be another one.

    Raises DeliveryRefused if one of them is not public, DeliveryError if there are none.
    """
    try:
        found = await resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise DeliveryError(f"{host} has no address: {error}") from error
    if not found:
        raise DeliveryError(f"{host} has no address")
    if not allow_private and not all(map(is_public, found)):
        raise DeliveryRefused(
            f"{host} is not on the public Internet, and messages to private addresses are refused;"
            " the setting hook_allow_private allows them"
        )
    return found
