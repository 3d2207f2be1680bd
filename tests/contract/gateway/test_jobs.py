from __future__ import annotations

import asyncio

import httpx
import pytest

from gateway.server import serve
from gateway.settings import GatewaySettings, Timeouts
from lectern.ingestor.v1 import jobs_pb2
from shared.errors import AppError, Status
from tests.contract.gateway.back_services import World, job
from tests.contract.gateway.conftest import OPERATOR_KEY
from tests.contract.gateway.event_reading import all_events, events


def running(done: int) -> jobs_pb2.Job:
    state = job("job_1", jobs_pb2.JOB_STATE_RUNNING, total=2, done=done)
    state.stage = jobs_pb2.TASK_STAGE_INDEX
    state.eta.FromMilliseconds(1500)
    state.failures.add(document_id="d", document_name="a.pdf", reason="PDF_ENCRYPTED", message="Remove the password.", external_id="x")
    return state


async def test_a_job_says_how_far_it_is(client: httpx.AsyncClient, world: World) -> None:
    world.job_states = [running(1)]
    body = (await client.get("/api/v1/jobs/job_1")).json()
    shown = ("state", "stage", "kind", "done", "total", "eta_seconds")
    assert [body[name] for name in shown] == ["RUNNING", "INDEX", "INGEST", 1, 2, 1.5]
    assert body["failures"] == [
        {"document_id": "d", "document_name": "a.pdf", "external_id": "x", "reason": "PDF_ENCRYPTED", "message": "Remove the password."},
    ]


async def test_jobs_are_listed_cancelled_and_retried(client: httpx.AsyncClient, world: World) -> None:
    world.job_states = [running(1)]
    listed = (await client.get("/api/v1/jobs?collection=handbook&page_size=7&page_token=t")).json()
    assert ([item["id"] for item in listed["items"]], listed["next_page_token"]) == (["job_1"], "more")
    request = world.requests["ListJobs"][0]
    assert (request.collection, request.page_size, request.page_token) == ("handbook", 7, "t")
    assert (await client.post("/api/v1/jobs/job_1:cancel")).json()["state"] == "CANCELLED"
    assert (await client.post("/api/v1/jobs/job_1:retry")).json()["state"] == "QUEUED"
    assert world.requests["RetryJob"][0].job_id == "job_1"


async def test_watching_ends_with_complete(client: httpx.AsyncClient, world: World) -> None:
    world.job_states = [running(0), running(1), job("job_1", jobs_pb2.JOB_STATE_SUCCEEDED, total=2, done=2)]
    async with client.stream("GET", "/api/v1/jobs/job_1/events") as response:
        got = await all_events(response)
    assert [(name, data["done"]) for name, data in got] == [("job", 0), ("job", 1), ("job", 2), ("complete", 2)]


async def test_jobs_are_listed_by_state_and_kind(client: httpx.AsyncClient, world: World) -> None:
    assert (await client.get("/api/v1/jobs?state=RUNNING&kind=PURGE")).status_code == 200
    request = world.requests["ListJobs"][0]
    assert (request.state, request.kind) == (jobs_pb2.JOB_STATE_RUNNING, jobs_pb2.JOB_KIND_PURGE)
    assert (await client.get("/api/v1/jobs?state=running")).json()["reason"] == "INVALID_REQUEST"


async def test_a_job_shows_its_steps(client: httpx.AsyncClient, world: World) -> None:
    state = running(1)
    step = state.steps.add(step=jobs_pb2.STEP_EMBED, waiting_count=1, running_count=2, done_count=3, failed_count=4)
    step.work.FromMilliseconds(2500)
    step.begin_time.FromSeconds(1)
    world.job_states = [state]
    assert (await client.get("/api/v1/jobs/job_1")).json()["steps"] == [
        {
            "step": "EMBED",
            "waiting": 1,
            "running": 2,
            "done": 3,
            "failed": 4,
            "work_seconds": 2.5,
            "begin_time": "1970-01-01T00:00:01Z",
            "end_time": None,
        }
    ]


async def test_a_job_lists_what_became_of_its_documents(client: httpx.AsyncClient, world: World) -> None:
    world.job_states = [running(1)]
    listed = (await client.get("/api/v1/jobs/job_1/documents?state=FAILED&page_size=3&page_token=t")).json()
    assert listed["next_page_token"] == "more"
    (document,) = listed["items"]
    assert (document["document_id"], document["state"], document["stage"], document["reason"]) == ("d", "FAILED", "PARSE", "PDF_ENCRYPTED")
    request = world.requests["ListJobDocuments"][0]
    assert (request.job_id, request.state, request.page_size, request.page_token) == ("job_1", jobs_pb2.TASK_STATE_FAILED, 3, "t")


async def test_a_watcher_that_comes_back_is_not_told_again_what_it_knows(client: httpx.AsyncClient, world: World) -> None:
    ended = job("job_1", jobs_pb2.JOB_STATE_SUCCEEDED, total=2, done=2)
    world.job_states = [running(1), ended]

    async def watched(last: str) -> list[tuple[str, str]]:
        async with client.stream("GET", "/api/v1/jobs/job_1/events", headers={"Last-Event-ID": last}) as response:
            blocks = [
                dict(line.split(": ", 1) for line in block.split("\n") if line) for block in (await response.aread()).decode().split("\n\n")
            ]
        return [(block["event"], block["id"]) for block in blocks if "event" in block]

    (first, first_id), *rest = await watched("")
    assert (first, [name for name, _ in rest]) == ("job", ["job", "complete"])
    # Time alone does not make a job another one.
    world.job_states[0].eta.FromMilliseconds(900)
    assert await watched(first_id) == rest
    assert await watched(rest[-1][1]) == [("job", first_id), ("complete", rest[-1][1])]


async def test_a_job_that_does_not_exist_is_a_404_also_for_watchers(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/jobs/nope/events")
    assert (response.status_code, response.json()["reason"]) == (404, "JOB_NOT_FOUND")


async def test_a_watch_that_fails_ends_with_an_error(client: httpx.AsyncClient, world: World) -> None:
    world.job_states = [running(0)]
    world.failures["WatchJob"] = AppError("LIBRARY_UNAVAILABLE", Status.UNAVAILABLE, "No database.", retry_after_seconds=1)
    async with client.stream("GET", "/api/v1/jobs/job_1/events") as response:
        got = await all_events(response)
    assert [(name, data["reason"]) for name, data in got] == [("error", "LIBRARY_UNAVAILABLE")]


async def test_a_watcher_that_leaves_ends_the_watch(client: httpx.AsyncClient, world: World) -> None:
    world.job_states = [running(0)]
    world.hold["WatchJob"] = asyncio.Event()
    async with client.stream("GET", "/api/v1/jobs/job_1/events") as response:
        await anext(events(response))
    await asyncio.wait_for(world.cancelled.wait(), 10)


async def test_watchers_do_not_hold_up_a_gateway_that_stops(world: World, settings: GatewaySettings) -> None:
    world.job_states = [running(0)]
    world.hold["WatchJob"] = asyncio.Event()
    watching = asyncio.Event()

    async def watch(url: str) -> list[str]:
        names = []
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        async with httpx.AsyncClient(headers=headers) as client, client.stream("GET", f"{url}/api/v1/jobs/job_1/events") as response:
            async for name, _ in events(response):
                names.append(name)
                watching.set()
        return names

    async with asyncio.timeout(15), serve(settings.model_copy(update={"timeouts": Timeouts(drain_seconds=60)})) as gateway:
        task = asyncio.create_task(watch(gateway.url))
        await watching.wait()
    assert await task == ["job", "error"]


@pytest.mark.parametrize("path", ["/api/v1/passages/p1", "/api/v1/documents/d1", "/api/v1/collections/c1", "/api/v1/jobs/j1"])
async def test_what_does_not_exist_is_a_404_that_names_it(client: httpx.AsyncClient, path: str) -> None:
    problem = (await client.get(path)).json()
    assert problem["status"] == 404
    assert problem["reason"].endswith("_NOT_FOUND")
    assert path.rpartition("/")[2] in problem["detail"]
