from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from gateway.domain.jobs import Job as DomainJob
from gateway.http.event_stream import MEDIA_TYPE, Event, EventStream
from gateway.http.parameters import CurrentPage
from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.jobs import Job, JobList

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], route_class=StrictRoute)
_EVENTS_HELP = "Events `job`, each a Job; then `complete` with the last one, or `error` with a Problem."
JobId = Annotated[str, Path(description="The job's id.")]


@router.get("", summary="List jobs, newest first", responses={404: {"description": "The collection does not exist."}})
async def list_jobs(
    page: CurrentPage,
    services: CurrentServices,
    collection: Annotated[str, Query(max_length=200, description="Only jobs of this collection, by id or name.")] = "",
) -> JobList:
    return JobList.of(await services.jobs.list(page, collection))


@router.get("/{job}", summary="Get a job")
async def get_job(job: JobId, services: CurrentServices) -> Job:
    return Job.model_validate(await services.jobs.get(job))


@router.get(
    "/{job}/events",
    summary="Watch a job",
    response_class=Response,
    responses={200: {"description": _EVENTS_HELP, "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def watch_job(job: JobId, services: CurrentServices) -> EventStream:
    """The job now and after each change, as server-sent events. The stream ends with `complete` or `error`, never silently."""
    await services.jobs.get(job)  # so that a job that does not exist is a 404 and not an event
    heartbeat_seconds = services.settings.timeouts.heartbeat_seconds
    return EventStream(_events(services.jobs.watch(job)), heartbeat_seconds, until=services.stopping)


async def _events(watched: AsyncGenerator[DomainJob, None]) -> AsyncGenerator[Event, None]:
    data = ""
    async with aclosing(watched) as states:
        async for state in states:
            data = Job.model_validate(state).model_dump_json()
            yield Event("job", data)
    yield Event("complete", data)


@router.post("/{job}:cancel", summary="Cancel a job")
async def cancel_job(job: JobId, services: CurrentServices) -> Job:
    """Stops what has not been done yet; documents that are READY stay."""
    return Job.model_validate(await services.jobs.cancel(job))


@router.post("/{job}:retry", summary="Retry what failed in a job")
async def retry_job(job: JobId, services: CurrentServices) -> Job:
    """Queues its failed, quarantined and cancelled documents again."""
    return Job.model_validate(await services.jobs.retry(job))
