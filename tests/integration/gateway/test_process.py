"""The gateway as a process of its own: how it starts, how it refuses to, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from gateway.migrations import FOLDER, SCHEMA
from lectern.generator.v1.generation_pb2 import AnswerComplete, AnswerDelta, AnswerResponse
from shared.migrations import Migrations
from shared.rpc.caller_signing import CallerSigner
from tests.contract.gateway.back_services import World, start
from tests.contract.gateway.event_reading import events

BASE = {
    "PATH": os.environ["PATH"],
    "LECTERN_INTERNAL_KEY": "k" * 32,
    "LECTERN_GATEWAY_LISTEN": "127.0.0.1:0",
    "LECTERN_GATEWAY_INGESTOR_TARGET": "127.0.0.1:1",
    "LECTERN_GATEWAY_EMBEDDER_TARGET": "127.0.0.1:1",
    "LECTERN_GATEWAY_GENERATOR_TARGET": "127.0.0.1:1",
    "LECTERN_GATEWAY_BOOTSTRAP_API_KEY": "lk_operator1_" + "s" * 40,
}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@asynccontextmanager
async def process(**environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=BASE | environment, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def output(started: asyncio.subprocess.Process) -> tuple[int | None, str]:
    _, errors = await asyncio.wait_for(started.communicate(), 60)
    return started.returncode, errors.decode()


async def wait_for(started: asyncio.subprocess.Process, event: str) -> dict[str, object]:
    assert started.stderr is not None
    async with asyncio.timeout(60):
        async for line in started.stderr:
            said: dict[str, object] = json.loads(line)
            if said["event"] == event:
                return said
    raise AssertionError(f"the process ended without {event}")


async def test_a_gateway_serves_until_it_is_told_to_stop(database_url: str) -> None:
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    async with process(LECTERN_GATEWAY_DATABASE_URL=database_url) as started:
        said = await wait_for(started, "gateway_started")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{said['port']}") as client:
            assert (await client.get("/healthz")).status_code == 200
            headers = {"Authorization": f"Bearer {BASE['LECTERN_GATEWAY_BOOTSTRAP_API_KEY']}"}
            listed = await client.get("/api/v1/organisations", headers=headers)
            assert [item["name"] for item in listed.json()["items"]] == ["default"]
            ended = await wait_for(started, "request_ended")
            assert (ended["service"], ended["request_id"]) == ("gateway", listed.headers["X-Request-Id"])
        started.send_signal(signal.SIGTERM)
        code, log = await output(started)
    assert code == 0
    assert "Traceback" not in log
    assert "s" * 40 not in log


async def test_the_process_streams_an_answer_and_ends_the_work_when_its_reader_leaves(database_url: str, stack: AsyncExitStack) -> None:
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    world = World()
    world.answer = [AnswerResponse(delta=AnswerDelta(text="x")), AnswerResponse(complete=AnswerComplete(answered=True))]
    back = await start(world, CallerSigner(BASE["LECTERN_INTERNAL_KEY"].encode()))
    stack.push_async_callback(back.stop, grace_seconds=0)
    targets = {f"LECTERN_GATEWAY_{peer}_TARGET": f"127.0.0.1:{back.port}" for peer in ("INGESTOR", "EMBEDDER", "GENERATOR")}
    async with process(LECTERN_GATEWAY_DATABASE_URL=database_url, **targets) as started:
        said = await wait_for(started, "gateway_started")
        headers = {"Authorization": f"Bearer {BASE['LECTERN_GATEWAY_BOOTSTRAP_API_KEY']}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{said['port']}", headers=headers, timeout=20) as client:
            asked = {"question": "x", "stream": True}
            async with client.stream("POST", "/api/v1/ask", json=asked) as response:
                assert [name async for name, _ in events(response)] == ["metadata", "delta", "complete"]
            world.hold["Answer"] = asyncio.Event()
            async with client.stream("POST", "/api/v1/ask", json=asked) as response:
                await asyncio.wait_for(world.held.wait(), 10)
            await asyncio.wait_for(world.cancelled.wait(), 10)


async def test_an_old_schema_stops_the_start_and_names_the_command(database_url: str) -> None:
    async with process(LECTERN_GATEWAY_DATABASE_URL=database_url) as started:
        code, log = await output(started)
    assert code == 1
    assert "python -m gateway.migrations upgrade" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "LECTERN_GATEWAY_DATABASE_URL"),
        ({"LECTERN_GATEWAY_DATABASE_URL": "x", "LECTERN_GATEWAY_LISEN": "y"}, "LECTERN_GATEWAY_LISTEN"),
        ({"LECTERN_GATEWAY_DATABASE_URL": "x", "LECTERN_GATEWAY_BOOTSTRAP_API_KEY": "secret-of-the-house"}, "lk_<prefix>_<secret>"),
        ({"LECTERN_GATEWAY_DATABASE_URL": "x", "LECTERN_GATEWAY_LISTEN": "8080"}, "LECTERN_GATEWAY_LISTEN"),
    ],
)
async def test_wrong_settings_stop_the_start_and_are_named(environment: dict[str, str], words: str) -> None:
    async with process(**environment) as started:
        code, log = await output(started)
    assert code == 2
    assert words in log
    assert "Traceback" not in log
    assert "secret-of-the-house" not in log


async def test_a_taken_port_stops_the_start_and_is_named(database_url: str) -> None:
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    listener = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, process(LECTERN_GATEWAY_DATABASE_URL=database_url, LECTERN_GATEWAY_LISTEN=f"127.0.0.1:{port}") as started:
        code, log = await output(started)
    assert code == 1
    assert f"127.0.0.1:{port}" in log
    assert "Traceback" not in log
