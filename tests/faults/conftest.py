"""One world of real processes for all fault tests; each test is an organisation of its own in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conftest import folder_for_a_server, left_in_time
from tests.contract.embedder.tiny_models import bert
from tests.faults.day import text
from tests.faults.failpoints import Failpoint
from tests.faults.report import TRIED, everything, record
from tests.faults.world import World, open_world


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-faults", action="store_true", help="Write what was tried into tests/faults/README.md, if all of it held.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The histories take longest: the others fill the time beside them.
    items.sort(key=lambda item: "examples" not in getattr(item, "fixturenames", ()))
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.timeout(300))
            if "world" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    """Whose tests run one after another, for they break the world that they share. What is not slow shares one with all of its kind."""
    if item.get_closest_marker("slow") is None:
        return "faults"
    failpoint = item.callspec.params.get("failpoint") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    return f"faults of {failpoint.part if isinstance(failpoint, Failpoint) else item.path.stem}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    tried = [value for report in reports for name, value in report.user_properties if name == TRIED]
    if tried:
        terminalreporter.section("faults that were tried")
        terminalreporter.write_line(everything(tried))
    if config.getoption("--record-faults") and exitstatus == 0:
        record(tried)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_world() -> AsyncIterator[World]:
    with folder_for_a_server() as folder:
        model = folder / "model"
        model.mkdir()
        await asyncio.to_thread(bert, model)
        async with left_in_time(open_world(folder, model)) as world:
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
