"""Nobody's few documents wait behind somebody else's many."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from ingestor.adapters.postgres.database import open_database
from ingestor.adapters.postgres.queue import CLAIM_MANY, PostgresQueue
from ingestor.domain.tasks import Stage
from ingestor.migrations import FOLDER, SCHEMA
from lectern.ingestor.v1 import documents_pb2, jobs_pb2
from shared.migrations import Migrations
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


async def test_ten_documents_are_claimed_among_the_first_although_ten_thousand_of_the_same_organisation_wait(database_url: str) -> None:
    """Each claim of the bulk worker takes as many of the small job as of the large one, from the first on."""
    await fill(database_url, {("acme", "1-large"): 10_000, ("acme", "2-small"): 10})
    async with open_database(database_url, max_connections=4) as database:
        queue = PostgresQueue(database, lease_seconds=60, max_deliveries=3)
        claim = await queue.claim(Stage.INDEX, max_tasks=256, max_weight=1024, express=False)
    assert claim is not None
    jobs = Counter(task.job_id for task in claim.tasks)
    assert jobs["2-small"] == 10
    assert jobs["1-large"] == 128


async def test_ten_documents_of_one_organisation_wait_for_one_claim_of_anothers_ten_thousand(database_url: str) -> None:
    await fill(database_url, {("many", "1-large"): 10_000, ("few", "2-small"): 10})
    async with open_database(database_url, max_connections=4) as database:
        queue = PostgresQueue(database, lease_seconds=60, max_deliveries=3)
        claims = [await queue.claim(Stage.INDEX, max_tasks=256, max_weight=1024, express=False) for _ in range(4)]
    order = [claim.organisation_id for claim in claims if claim is not None]
    assert order.index("few") <= 1
    assert order.count("many") == 3


async def test_a_claim_takes_what_is_small_first_when_weight_runs_out(database_url: str) -> None:
    await fill(database_url, {("acme", "1-large"): 500, ("acme", "2-small"): 10}, weight=100)
    async with open_database(database_url, max_connections=4) as database:
        queue = PostgresQueue(database, lease_seconds=60, max_deliveries=3)
        claim = await queue.claim(Stage.INDEX, max_tasks=256, max_weight=1000, express=False)
    assert claim is not None
    assert Counter(task.job_id for task in claim.tasks) == {"1-large": 5, "2-small": 5}


async def test_a_claim_reads_no_more_than_it_takes(database_url: str) -> None:
    """Of fifty thousand waiting tasks in one job, and a job of ten beside it, a few hundred rows are looked at."""
    await fill(database_url, {("many", "1-large"): 50_000, ("many", "2-small"): 10, ("few", "3-small"): 10})
    connection = await asyncpg.connect(database_url)
    await connection.execute("ANALYZE library.task")
    arguments = (Stage.INDEX, "token", 60.0, 256, 1024, False, 2, ["few"], [1])
    plan = json.loads(await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {CLAIM_MANY}", *arguments))
    await connection.close()
    nodes = list(walk(plan[0]["Plan"]))
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan" and node.get("Relation Name") == "task"]
    read = sum(node["Actual Rows"] * node["Actual Loops"] for node in nodes if node.get("Relation Name") == "task")
    assert read < 3000


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from walk(child)


async def fill(database_url: str, counts: dict[tuple[str, str], int], *, weight: int = 1) -> None:
    """Queue tasks without documents, by organisation and job."""
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    connection = await asyncpg.connect(database_url)
    for (organisation, job), count in counts.items():
        await connection.execute(
            "INSERT INTO library.job (job_id, organisation_id, collection_id, kind) VALUES ($1, $2, 'c', 'INGEST')", job, organisation
        )
        await connection.execute(
            """
            INSERT INTO library.task (organisation_id, job_id, document_id, generation, stage, state, weight)
            SELECT $1, $2, $2 || n, 1, 'INDEX', 'QUEUED', $4 FROM generate_series(1, $3) n
            """,
            organisation,
            job,
            count,
            weight,
        )
    await connection.close()
