"""Keeps requests to addresses that callers give out of the networks that only we can reach."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import httpx

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
# Addresses of this range carry an IPv4 address in their last 32 bits, which a gateway connects to (RFC 6052).
_NAT64 = ip_network("64:ff9b::/96")


class AddressRefused(httpx.TransportError):
    """The host's name leads to an address that must not be reached from here."""


def reachable(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether ``address`` is public, or in one of the ``allowed`` networks. An IPv4 address inside an IPv6 one counts as itself."""
    inner = _inner(address)
    if inner is not None:
        return reachable(inner, allowed)
    if any(address in network for network in allowed if network.version == address.version):
        return True
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


class GuardedTransport(httpx.AsyncBaseTransport):
    """Resolves a host once, checks every address that it has, and connects to a checked one.

    What was checked is what is connected to, so a name that changes its mind in between gains nothing. Redirects come through here like
    any other request.
    """

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self._inner = httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        addresses = await self._resolve(host, request.url.port or (443 if request.url.scheme == "https" else 80))
        if not all(reachable(address, self._allowed) for address in addresses):
            raise AddressRefused(host)
        error: httpx.ConnectError | None = None
        for address in addresses:
            # The Host header was set from the name and stays; the certificate is checked against the name too.
            guarded = httpx.Request(
                request.method,
                request.url.copy_with(host=str(address)),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await self._inner.handle_async_request(guarded)
            except httpx.ConnectError as failed:
                error = failed
        raise error or httpx.ConnectError(f"{host} has no address")

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _resolve(self, host: str, port: int) -> list[Address]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"{host} cannot be resolved") from error
        # A link-local IPv6 address comes with its interface, which says nothing about where it leads.
        return list(dict.fromkeys(ip_address(sockaddr[0].split("%")[0]) for *_, sockaddr in found if isinstance(sockaddr[0], str)))
