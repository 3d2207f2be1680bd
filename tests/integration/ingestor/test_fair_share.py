"""Nobody's few documents wait behind somebody else's many."""

from __future__ import annotations

import pytest

from lectern.ingestor.v1 import documents_pb2, jobs_pb2
from tests.integration.ingestor.library import Library, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


def entries(count: int) -> list[documents_pb2.BatchEntry]:
    return [documents_pb2.BatchEntry(external_id=f"a-{number}", text=f"Text {number}") for number in range(count)]


async def test_ten_documents_are_done_while_another_organisations_thousands_wait(own_library: Library) -> None:
    many, few = own_library.for_organisation("many"), own_library.for_organisation("few")
    for side in (many, few):
        await side.create_collection()
    many.index.open.clear()
    big = await many.batch(entries(3000))
    await many.index.arrived.wait()
    small = await few.batch(entries(10))
    # Every worker that may serve the big one is held up by it; the small one gets through all the same.
    assert (await few.ended(small.job.job_id)).state == jobs_pb2.JOB_STATE_SUCCEEDED
    assert (await many.job(big.job.job_id)).done_count == 0
    many.index.open.set()
    assert (await many.ended(big.job.job_id, seconds=60)).done_count == 3000


async def test_organisations_with_much_to_do_take_turns(own_library: Library) -> None:
    sides = [own_library.for_organisation(name) for name in ("one", "two", "three")]
    for side in sides:
        await side.create_collection()
        side.index.open.clear()
    jobs = [(await side.batch(entries(1500))).job.job_id for side in sides]

    async def all_parsed() -> bool:
        states = [await side.job(job) for side, job in zip(sides, jobs, strict=True)]
        return all(job.stage == jobs_pb2.TASK_STAGE_INDEX for job in states)

    await eventually(all_parsed)
    for side in sides:
        side.index.open.set()
    for side, job in zip(sides, jobs, strict=True):
        await side.ended(job, seconds=60)
    turns = await own_library.query("SELECT organisation_id FROM library.task WHERE end_time IS NOT NULL ORDER BY end_time, task_id")
    halfway = [row["organisation_id"] for row in turns[: len(turns) // 2]]
    assert min(halfway.count(name) for name in ("one", "two", "three")) >= len(halfway) // 6
