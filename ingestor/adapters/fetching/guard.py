"""Sends requests only to addresses that may be reached from here."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from shared.networks import Network, reachable_addresses


class GuardedTransport(httpx.AsyncBaseTransport):
    """Resolves a host once, checks every address that it has, and connects to a checked one.

    Redirects come through here like any other request.
    """

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self._inner = httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request``.

        Raises:
            AddressRefused: its host leads into a network that is closed to it.
            TransportError: as any transport.
        """
        host = request.url.host
        try:
            addresses = await reachable_addresses(host, request.url.port or (443 if request.url.scheme == "https" else 80), self._allowed)
        except OSError as unresolved:
            raise httpx.ConnectError(f"{host} cannot be resolved") from unresolved
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
