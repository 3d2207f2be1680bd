"""Every bomb goes through real children under the limits that the service has: it ends in time, in little memory, and alone."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress

import psutil
import pytest
import pytest_asyncio

from ingestor.adapters.parsers.pool import ParserPool
from ingestor.adapters.parsers.process import ProcessLimits
from ingestor.domain.parsing import MEBIBYTE, DocumentLimits, DocumentRejected, SourceFile
from tests.unit.ingestor.parsers.bombs import BOMBS
from tests.unit.ingestor.parsers.files import source

SECONDS = 30.0
MEMORY = 1_500 * MEBIBYTE
pytestmark = pytest.mark.asyncio(loop_scope="module")
HELLO = source("a.txt", "The contract ends on the third of March, unless both parties agree to prolong it.")


class _Watched:
    """The most memory that any of our children has held while the context was open."""

    def __init__(self) -> None:
        self.peak = 0

    async def watch(self) -> None:
        while True:
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    self.peak = max(self.peak, child.memory_info().rss)
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ParserPool]:
    # As the service has them; processor time alone would take longer where the machine does other things too.
    pool = ParserPool(DocumentLimits(), ProcessLimits(wall_seconds=25.0), 2)
    await pool.start()
    yield pool
    await pool.close(grace_seconds=0)


@pytest.mark.parametrize("what", BOMBS)
async def test_a_bomb_is_rejected_in_time_and_memory_while_others_are_parsed(what: str, pool: ParserPool) -> None:
    name, content, reasons = BOMBS[what]
    bomb = SourceFile(name, content())
    watched = _Watched()
    watching = asyncio.create_task(watched.watch())
    async with asyncio.timeout(SECONDS):
        rejected = asyncio.create_task(_rejection(pool, bomb))
        for _ in range(3):
            assert (await pool.parse(HELLO)).text == HELLO.content.decode()
        assert (await rejected).reason in reasons
    watching.cancel()
    assert 0 < watched.peak < MEMORY
    assert (await pool.parse(HELLO)).text
    del bomb
    gc.collect()


async def _rejection(pool: ParserPool, bomb: SourceFile) -> DocumentRejected:
    """Do as the service does: check the file when it comes in, parse it when the check lets it pass."""
    with pytest.raises(DocumentRejected) as rejection:
        await pool.check(bomb)
        await pool.parse(bomb)
    assert rejection.value.message
    return rejection.value


@pytest.mark.parametrize("name", ["../../etc/passwd.txt", "a\0b.txt", "\u202etxt.exe", "x" * 300 + ".txt", "/", "..", "C:\\a.txt"])
async def test_a_name_is_never_more_than_a_name(name: str, pool: ParserPool) -> None:
    assert (await pool.parse(SourceFile(name, HELLO.content))).text == HELLO.content.decode()
