from __future__ import annotations

import asyncio

import pytest

from embedder.adapters.milvus.lite import LiteGate
from embedder.errors import index_unavailable
from shared.errors import AppError


class Store:
    """Notes what runs, and fails the test when a write or a flush runs beside another, or a read beside a flush."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.flushes = 0
        self.writes = 0
        self.flushed = asyncio.Event()

    async def _run(self, what: str, *forbidden: str) -> None:
        assert not set(forbidden) & set(self.running), (what, self.running)
        self.running.append(what)
        for _ in range(3):
            await asyncio.sleep(0)
        self.running.remove(what)

    async def flush(self) -> None:
        await self._run("flush", "flush", "write", "read")
        self.flushes += 1
        self.flushed.set()

    async def write(self) -> int:
        await self._run("write", "write", "flush")
        self.writes += 1
        return self.writes

    async def read(self, gate: LiteGate) -> None:
        async with gate.reading():
            await self._run("read", "flush")


async def test_writes_flushes_and_reads_keep_out_of_each_others_way() -> None:
    store = Store()
    gate = LiteGate(store.flush, quiet_seconds=0)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for _ in range(30):
            group.create_task(gate.write(store.write(), rows=400))
            group.create_task(store.read(gate))
    await gate.close()
    assert (store.writes, store.flushes) == (30, 10)


async def test_rows_are_flushed_when_there_are_many() -> None:
    store = Store()
    gate = LiteGate(store.flush, quiet_seconds=3600)
    await gate.write(store.write(), rows=999)
    assert store.flushes == 0
    await gate.write(store.write(), rows=1)
    assert store.flushes == 1
    await gate.close()


async def test_the_last_rows_are_flushed_when_nothing_more_is_written() -> None:
    store = Store()
    gate = LiteGate(store.flush, quiet_seconds=0)
    await gate.write(store.write(), rows=5)
    await asyncio.wait_for(store.flushed.wait(), 10)
    await gate.close()
    assert store.flushes == 1


async def test_a_write_without_rows_asks_for_no_flush() -> None:
    store = Store()
    gate = LiteGate(store.flush, quiet_seconds=0)
    await gate.write(store.write(), rows=0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert store.flushes == 0


async def test_a_write_whose_caller_leaves_is_finished_before_the_next_begins() -> None:
    store = Store()
    gate = LiteGate(store.flush, quiet_seconds=3600)
    leaves = asyncio.create_task(gate.write(store.write(), rows=1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaves.cancel()
    assert await gate.write(store.write(), rows=1) == 2
    assert leaves.cancelled()
    await gate.close()


async def test_a_write_that_fails_tells_its_caller_and_lets_the_next_in() -> None:
    async def fail() -> None:
        raise index_unavailable()

    store = Store()
    gate = LiteGate(store.flush, quiet_seconds=3600)
    with pytest.raises(AppError):
        await gate.write(fail(), rows=1)
    assert await gate.write(store.write(), rows=1) == 1
    await gate.close()


async def test_a_flush_that_fails_is_made_good_by_the_next() -> None:
    calls = 0

    async def flush() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise index_unavailable()

    store = Store()
    gate = LiteGate(flush, quiet_seconds=3600)
    await gate.write(store.write(), rows=1_000)
    await gate.write(store.write(), rows=1)
    assert calls == 2
    await gate.close()
