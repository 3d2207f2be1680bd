"""Fetches documents over HTTP, with bounds on where, how long and how much."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus

import httpx

from ingestor.adapters.fetching.guard import GuardedTransport
from ingestor.domain.pipeline.fetch import Fetched, FetchFailed
from ingestor.errors import document_too_large
from shared.networks import AddressRefused, Network

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
_INFLATE_BYTES = 1024 * 1024
# Both formats announce themselves in their first bytes (zlib's manual, inflateInit2).
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
# We ask for none, but some servers compress all the same.
_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_HEADERS = {"User-Agent": "lectern-ingestor", "Accept": "*/*", "Accept-Encoding": "identity"}


class HttpFetcher:
    """A `Fetcher`."""

    def __init__(self, *, max_bytes: int, timeout_seconds: float, max_redirects: int, allowed_networks: Sequence[Network]) -> None:
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds
        self._max_redirects = max_redirects
        self._allowed_networks = tuple(allowed_networks)

    async def fetch(self, url: str) -> Fetched:
        """The bytes behind ``url``, uncompressed.

        Raises:
            FetchFailed: with the reason why there are none.
        """
        client = httpx.AsyncClient(
            transport=GuardedTransport(self._allowed_networks),
            headers=_HEADERS,
            follow_redirects=True,
            max_redirects=self._max_redirects,
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            trust_env=False,
        )
        try:
            async with asyncio.timeout(self._timeout_seconds), client, client.stream("GET", url) as response:
                _check_status(response)
                content = bytearray()
                async for part in _inflated(response):
                    content += part
                    if len(content) > self._max_bytes:
                        error = document_too_large(self._max_bytes)
                        raise FetchFailed(error.reason, error.message, passing=False)
                return Fetched(bytes(content), response.headers.get("content-type", ""))
        except AddressRefused as error:
            message = f"{error} leads to an address inside a private network, from which nothing is fetched. An operator can allow it."
            raise FetchFailed("ADDRESS_REFUSED", message, passing=False) from error
        except httpx.TooManyRedirects as error:
            message = f"The address redirects more than {self._max_redirects} times. Give the one that it leads to."
            raise FetchFailed("TOO_MANY_REDIRECTS", message, passing=False) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise FetchFailed("SOURCE_TIMEOUT", "The address did not answer in time. Try again later.", passing=True) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            message = "The address, or one that it redirects to, does not begin with http:// or https://."
            raise FetchFailed("URL_INVALID", message, passing=False) from error
        except (httpx.HTTPError, zlib.error) as error:
            message = "The address could not be read. Check that it is right and that its server runs."
            raise FetchFailed("SOURCE_UNREACHABLE", message, passing=True) from error


def _check_status(response: httpx.Response) -> None:
    if response.is_success:
        return
    status = response.status_code
    if status in _PASSING or response.is_server_error:
        raise FetchFailed("SOURCE_UNAVAILABLE", f"The address answered with status {status}. Try again later.", passing=True)
    message = f"The address answered with status {status}. Check that it is right and that everybody may read it."
    raise FetchFailed("SOURCE_REFUSED", message, passing=False)


async def _inflated(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body in small parts, however large it grows when it is uncompressed."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        async for part in response.aiter_raw():
            yield part
        return
    if encoding not in _ENCODINGS:
        message = f"The address compresses its answer in a way that we did not ask for and do not know ({encoding[:20]})."
        raise FetchFailed("SOURCE_ENCODING_UNKNOWN", message, passing=False)
    inflater = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
    async for part in response.aiter_raw():
        yield inflater.decompress(part, _INFLATE_BYTES)
        while inflater.unconsumed_tail:
            yield inflater.decompress(inflater.unconsumed_tail, _INFLATE_BYTES)
    if not inflater.eof:
        raise zlib.error("the compressed answer ends before its end")
