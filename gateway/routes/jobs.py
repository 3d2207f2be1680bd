from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query
from starlette.responses import Response

from gateway.domain.jobs import Job as DomainJob
from gateway.domain.jobs import JobDocumentState, JobFilter, JobKind, JobState
from gateway.http.event_stream import MEDIA_TYPE, Event, EventStream
from gateway.http.parameters import CurrentPage
from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.jobs import Job, JobDocumentList, JobList

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], route_class=StrictRoute)
_EVENTS_HELP = "Events `job`, each a Job; then `complete` with the last one, or `error` with a Problem."
JobId = Annotated[str, Path(description="The job's id.")]


@router.get("", summary="List jobs, newest first", responses={404: {"description": "The collection does not exist."}})
async def list_jobs(
    page: CurrentPage,
    services: CurrentServices,
    collection: Annotated[str, Query(max_length=200, description="Only jobs of this collection, by id or name.")] = "",
    state: Annotated[JobState | None, Query(description="Only jobs that are this far.")] = None,
    kind: Annotated[JobKind | None, Query(description="Only jobs that do this.")] = None,
) -> JobList:
    return JobList.of(await services.jobs.list(page, JobFilter(collection, state, kind)))


@router.get("/{job}", summary="Get a job")
async def get_job(job: JobId, services: CurrentServices) -> Job:
    return Job.model_validate(await services.jobs.get(job))


@router.get("/{job}/documents", summary="List what became of a job's documents")
async def list_job_documents(
    job: JobId,
    page: CurrentPage,
    services: CurrentServices,
    state: Annotated[JobDocumentState | None, Query(description="Only documents in this state.")] = None,
) -> JobDocumentList:
    """In the order in which they came in."""
    return JobDocumentList.of(await services.jobs.documents(job, page, state))


@router.get(
    "/{job}/events",
    summary="Watch a job",
    response_class=Response,
    responses={200: {"description": _EVENTS_HELP, "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def watch_job(
    job: JobId,
    services: CurrentServices,
    last_event_id: Annotated[
        str, Header(alias="Last-Event-ID", max_length=100, description="The id of the last event seen; it is not sent again.")
    ] = "",
) -> EventStream:
    """The job now and after each change, as server-sent events. The stream ends with `complete` or `error`, never silently."""
    await services.jobs.get(job)  # so that a job that does not exist is a 404 and not an event
    heartbeat_seconds = services.settings.timeouts.heartbeat_seconds
    return EventStream(_events(services.jobs.watch(job), last_event_id), heartbeat_seconds, until=services.stopping)


async def _events(watched: AsyncGenerator[DomainJob, None], last_event_id: str) -> AsyncGenerator[Event, None]:
    data = event_id = ""
    async with aclosing(watched) as states:
        async for state in states:
            shape = Job.model_validate(state)
            data, event_id = shape.model_dump_json(), _event_id(shape)
            if event_id != last_event_id:
                yield Event("job", data, event_id)
    yield Event("complete", data, event_id)


def _event_id(job: Job) -> str:
    """What a job's event is known by: equal where all but the passing of time is."""
    return hashlib.sha256(job.model_dump_json(exclude={"eta_seconds"}).encode()).hexdigest()[:16]


@router.post("/{job}:cancel", summary="Cancel a job")
async def cancel_job(job: JobId, services: CurrentServices) -> Job:
    """Stops what has not been done yet; documents that are READY stay."""
    return Job.model_validate(await services.jobs.cancel(job))


@router.post("/{job}:retry", summary="Retry what failed in a job")
async def retry_job(job: JobId, services: CurrentServices) -> Job:
    """Queues its failed, quarantined and cancelled documents again."""
    return Job.model_validate(await services.jobs.retry(job))
