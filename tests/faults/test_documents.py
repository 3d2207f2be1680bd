"""Bytes, files and callers that bring trouble of their own."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from shared.errors import AppError, Status
from tests.faults.day import Day, begun
from tests.faults.orders import Mode
from tests.faults.report import tried
from tests.faults.world import World
from tests.unit.ingestor.parsers.files import pdf_bomb

NEWEST_GENERATION = "SELECT * FROM library.document_generation WHERE organisation_id = $1 ORDER BY create_time DESC LIMIT 1"
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.slow
async def test_a_process_that_slept_past_its_lease_shows_nothing(world: World, address: str, request: pytest.FixtureRequest) -> None:
    day = await begun(world, "sleeper", address)
    with tried(request, "the ingestor sleeps past its lease", "SIGSTOP", "another process, which the sleeper does not overtake"):
        world.orders.give("publish.verified", Mode.HANG)
        uploading = asyncio.create_task(day.upload("renewed", 2))
        await world.reached("publish.verified")
        await world.start_second_ingestor()
        await uploading
        await day.tenant.quiet()
        # What the sleeper was about to make visible has been visible since, and is replaced.
        await day.upload("renewed", 3)
        await day.tenant.quiet()
        await world.thaw_first_ingestor()
        await day.end()


async def test_the_same_documents_sent_by_several_callers_at_once_are_there_once(
    world: World, address: str, request: pytest.FixtureRequest
) -> None:
    day = await begun(world, "twice", address)
    with tried(request, "the same documents from six callers at once", "race", "one document an identity"):
        await asyncio.gather(*(day.add_many() for _ in range(3)), *(day.upload("renewed", 2) for _ in range(3)))
        await day.end()


def flipped(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def shortened(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("damage", [flipped, shortened])
async def test_bytes_that_changed_in_the_object_store_are_noticed(
    world: World, address: str, request: pytest.FixtureRequest, damage: Callable[[bytes], bytes]
) -> None:
    day = await begun(world, "damaged", address)
    with tried(request, f"the object store gives bytes back {damage.__name__}", "damage", "FAILED with CONTENT_CORRUPT"):
        world.orders.give("parse.claimed", Mode.HANG)
        # Its answer may be on the way when the process freezes.
        uploading = asyncio.create_task(day.upload("damaged", 1))
        await world.reached("parse.claimed")
        [generation] = await day.tenant.query(NEWEST_GENERATION, day.tenant.organisation_id)
        file = world.files / f"organisation-{day.tenant.organisation_id}" / generation["object_key"]
        file.write_bytes(damage(file.read_bytes()))
        world.first.process.signal(signal.SIGCONT)
        document_id = await uploading
        await day.tenant.quiet()
        assert await reason_of(day, document_id) == ("FAILED", "CONTENT_CORRUPT")
        day.promises.texts[document_id] = None
        await day.end()


@pytest.mark.slow
async def test_a_file_that_kills_its_parser_fails_alone(world: World, address: str, request: pytest.FixtureRequest) -> None:
    day = await begun(world, "poison", address)
    with tried(request, "a file kills its parser", "poison", "FAILED with PARSER_OUT_OF_MEMORY; a new parser for the others"):
        bomb = pdf_bomb(20_000_000)
        response = await day.tenant.insist(lambda library: library.upload(bomb, external_id="bomb", name="bomb.pdf"))
        document_id = response.document.document_id
        day.promises.texts[document_id] = None
        await day.work()
        await day.end()
        assert await reason_of(day, document_id) == ("FAILED", "PARSER_OUT_OF_MEMORY")


async def test_a_full_disk_refuses_files_and_loses_none(world: World, address: str, request: pytest.FixtureRequest) -> None:
    day = await begun(world, "full", address)
    with tried(request, "the disk is full, also for logs", "write error", "the caller, once there was room"):
        with full_disk(world.first.process.pid):
            with pytest.raises(AppError) as refused:
                await day.tenant.library(world.first).upload("full " * 10_000, external_id="large", name="large.txt")
            assert (refused.value.status, refused.value.reason) == (Status.UNAVAILABLE, "OBJECT_STORE_UNAVAILABLE")
            # Texts of a batch are kept by the database, whose disk is another.
            await day.add_many()
        await day.tenant.quiet()
        await day.work()
        await day.end()


@contextmanager
def full_disk(pid: int) -> Iterator[None]:
    """Let no file of the process grow, which fails its writes as a full disk or a used-up quota does."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


async def reason_of(day: Day, document_id: str) -> tuple[str, str]:
    [document] = await day.tenant.query("SELECT state, reason FROM library.document WHERE document_id = $1", document_id)
    return document["state"], document["reason"]
