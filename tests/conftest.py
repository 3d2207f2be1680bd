"""The real stores that tests run against: one Postgres and one Milvus Lite server for each worker process."""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest

from deploy.laptop.milvus import EmbeddedMilvus
from deploy.laptop.postgres import EmbeddedPostgres
from shared.rpc.caller_signing import CallerSigner

Entered = TypeVar("Entered")
LEAVING_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, *, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)  # the only way to learn that another process has begun to listen
        else:
            return


@contextmanager
def folder_for_a_server() -> Iterator[Path]:
    """A folder that a server under another user's name can use.

    Not below pytest's own: that is closed to other users whenever a test run begins, and root's Postgres runs as another user.
    """
    with tempfile.TemporaryDirectory(prefix="lectern-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@asynccontextmanager
async def left_in_time(context: AbstractAsyncContextManager[Entered]) -> AsyncIterator[Entered]:
    """``context`` for a fixture, which says where it was when what it started does not stop."""
    entered = await context.__aenter__()
    try:
        yield entered
    finally:
        async with asyncio.timeout(LEAVING_SECONDS):
            await context.__aexit__(*sys.exc_info())


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """DSN of an empty server's ``postgres`` database."""
    with folder_for_a_server() as folder:
        server = EmbeddedPostgres(folder / "data")
        yield server.start()
        server.stop()


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """DSN of a database that is this test's alone."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        yield postgres_url.replace("/postgres?", f"/{name}?")
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def milvus_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Milvus Lite server; use organisations or collections of your own in it."""
    folder = tmp_path_factory.mktemp("milvus")
    port = free_port()
    with Path(folder / "log").open("wb") as log:
        server = EmbeddedMilvus(folder / "data", port, log)
        server.start()
        try:
            wait_for_port(port, seconds=60)
            yield server.uri
        finally:
            server.stop()


@pytest.fixture(scope="session")
def internal_key() -> bytes:
    return secrets.token_bytes(32)


@pytest.fixture(scope="session")
def signer(internal_key: bytes) -> CallerSigner:
    return CallerSigner(internal_key)
