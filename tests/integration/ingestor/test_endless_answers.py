"""Servers that never stop answering."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network

import pytest

from ingestor.adapters.fetching.fetcher import HttpFetcher
from ingestor.domain.pipeline.fetch import FetchFailed

HEAD = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
GZIP = 16 + zlib.MAX_WBITS


def zeros() -> Iterator[bytes]:
    packer = zlib.compressobj(9, wbits=GZIP)
    while True:
        yield packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_SYNC_FLUSH)


def nothing() -> Iterator[bytes]:
    """Blocks that unpack to no byte at all."""
    packer = zlib.compressobj(9, wbits=GZIP)
    yield packer.flush(zlib.Z_SYNC_FLUSH)
    while True:
        yield b"\0\0\0\xff\xff" * 1_000


@asynccontextmanager
async def site(parts: Iterator[bytes]) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)  # nothing else runs as long as the socket takes it all
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize(("parts", "reason"), [(zeros(), "DOCUMENT_TOO_LARGE"), (nothing(), "SOURCE_TIMEOUT")])
async def test_a_packed_answer_without_end_ends_at_the_limit_of_bytes_or_of_time(parts: Iterator[bytes], reason: str) -> None:
    fetcher = HttpFetcher(max_bytes=10_000_000, timeout_seconds=2, max_redirects=0, allowed_networks=[ip_network("127.0.0.0/8")])
    async with asyncio.timeout(10), site(parts) as url:
        with pytest.raises(FetchFailed) as failed:
            await fetcher.fetch(url)
    assert failed.value.reason == reason
