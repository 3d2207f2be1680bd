"""PassageService, through a real client and server."""

from __future__ import annotations

import pytest

from lectern.ingestor.v1 import documents_pb2, passages_pb2
from shared.errors import Status
from tests.integration.ingestor.library import Library, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def passage_id(library: Library) -> str:
    await library.create_collection()
    batch = await library.batch([documents_pb2.BatchEntry(text="The crane.")])
    await library.ended(batch.job.job_id)
    [found] = library.index.rows
    return found


async def test_a_passage_is_found_by_its_id(library: Library) -> None:
    request = passages_pb2.GetPassageRequest(passage_id=await passage_id(library))
    response = await library.call(library.passages.GetPassage, request)
    assert (response.passage.text, list(response.before), list(response.after)) == ("The crane.", [], [])


async def test_anothers_passage_is_not_found(library: Library) -> None:
    found = await passage_id(library)
    stranger = library.for_organisation(f"{library.organisation_id}-stranger")
    error = await error_of(stranger.call(stranger.passages.GetPassage, passages_pb2.GetPassageRequest(passage_id=found)))
    assert (error.reason, error.status) == ("PASSAGE_NOT_FOUND", Status.NOT_FOUND)
    assert await stranger.read(found) == []
    assert len(await library.read(found)) == 1


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (passages_pb2.GetPassageRequest(passage_id="unknown"), "PASSAGE_NOT_FOUND"),
        (passages_pb2.GetPassageRequest(passage_id="nul\0"), "NUL_CHARACTER"),
        (passages_pb2.GetPassageRequest(passage_id="a", before_count=21), "TOO_MANY_PASSAGES"),
        (passages_pb2.GetPassageRequest(passage_id="a", after_count=2**32 - 1), "TOO_MANY_PASSAGES"),
    ],
)
async def test_a_request_that_cannot_be_answered_says_why(library: Library, request_: passages_pb2.GetPassageRequest, reason: str) -> None:
    assert (await error_of(library.call(library.passages.GetPassage, request_))).reason == reason


async def test_a_thousand_passages_can_be_asked_for_at_once_and_no_more(library: Library) -> None:
    assert await library.read(*("unknown" for _ in range(1000))) == []
    assert (await error_of(library.read(*("unknown" for _ in range(1001))))).reason == "TOO_MANY_PASSAGES"


def manual(colour: str) -> str:
    return "\n\n".join(f"# Part {number}\n\nThe {colour} lamp {number} burns." for number in range(4))


async def test_a_passages_neighbours_are_of_its_own_generation_and_in_order(library: Library) -> None:
    await library.create_collection()
    ids: dict[str, list[str]] = {}
    for colour in ("red", "green"):
        uploaded = await library.upload(manual(colour), name="manual.md")
        await library.ended(uploaded.job.job_id)
        passages = await library.visible(uploaded.document.document_id)
        ids[colour] = [passage.passage_id for passage in passages]
    request = passages_pb2.GetPassageRequest(passage_id=ids["green"][1], before_count=20, after_count=20)
    got = await library.call(library.passages.GetPassage, request)
    assert [*got.before, got.passage, *got.after] == passages
    assert [passage.ordinal for passage in passages] == [0, 1, 2, 3]
    assert all("green" in passage.text for passage in passages)
    old = passages_pb2.GetPassageRequest(passage_id=ids["red"][1], before_count=1)
    assert (await error_of(library.call(library.passages.GetPassage, old))).reason == "PASSAGE_NOT_FOUND"
