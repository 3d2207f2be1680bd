"""One world of real processes for all fault tests; each test is an organisation of its own in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conftest import folder_for_a_server
from tests.contract.embedder.tiny_models import bert
from tests.faults.day import text
from tests.faults.report import TRIED, table
from tests.faults.world import World, open_world


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)
            # They share the world, and break it.
            item.add_marker(pytest.mark.xdist_group("faults"))
            item.add_marker(pytest.mark.timeout(300))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    tried = [value for report in reports for name, value in report.user_properties if name == TRIED]
    if tried:
        terminalreporter.section("faults that were tried")
        terminalreporter.write_line(table(tried))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_world() -> AsyncIterator[World]:
    with folder_for_a_server() as folder:
        model = folder / "model"
        model.mkdir()
        await asyncio.to_thread(bert, model)
        async with open_world(folder, model) as world:
            yield world


@pytest_asyncio.fixture(loop_scope="session")
async def world(shared_world: World) -> AsyncIterator[World]:
    """The world, whole at the beginning and made whole again at the end."""
    yield shared_world
    await shared_world.heal()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def address() -> AsyncIterator[str]:
    """A web server whose every page is the text of its name."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        body = text(request.split(b" ")[1].decode().strip("/"), 1).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
