"""Sends requests only to addresses that may be reached from here."""

from __future__ import annotations

from collections.abc import Sequence

import httpx2

from shared.networks import Network, reachable_addresses

_DEFAULT_PORTS = {"http": 80, "https": 443}


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Resolves a host once for each request, checks every address that it has, and connects to a checked one."""

    def __init__(self, allowed: Sequence[Network], limits: httpx2.Limits) -> None:
        self._allowed = allowed
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send ``request``.

        Raises:
            AddressRefused: its host leads into a network that is closed to it.
            TransportError: as any transport.
        """
        host = request.url.host
        try:
            addresses = await reachable_addresses(host, request.url.port or _DEFAULT_PORTS[request.url.scheme], self._allowed)
        except OSError as unresolved:
            raise httpx2.ConnectError(f"{host} cannot be resolved") from unresolved
        error: httpx2.ConnectError | None = None
        for address in addresses:
            # The Host header was set from the name and stays; the certificate is checked against the name too.
            guarded = httpx2.Request(
                request.method,
                request.url.copy_with(host=str(address)),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await self._inner.handle_async_request(guarded)
            except httpx2.ConnectError as failed:
                error = failed
        raise error or httpx2.ConnectError(f"{host} has no address")

    async def aclose(self) -> None:
        await self._inner.aclose()
