"""JobService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import grpc

from ingestor.convert import to_job
from ingestor.domain.collections import Collections
from ingestor.domain.jobs import JobPosition, Jobs
from ingestor.servicers.pages import fitting
from lectern.ingestor.v1 import jobs_pb2, jobs_pb2_grpc
from shared.caller import current_caller
from shared.paging import PageTokens, page_size

Context = grpc.aio.ServicerContext[Any, Any]


class JobServicer(jobs_pb2_grpc.JobServiceServicer):
    def __init__(self, jobs: Jobs, collections: Collections, page_tokens: PageTokens) -> None:
        self._jobs = jobs
        self._collections = collections
        self._page_tokens = page_tokens

    async def GetJob(self, request: jobs_pb2.GetJobRequest, context: Context) -> jobs_pb2.GetJobResponse:
        return jobs_pb2.GetJobResponse(job=to_job(await self._jobs.get(current_caller().organisation_id, request.job_id)))

    async def ListJobs(self, request: jobs_pb2.ListJobsRequest, context: Context) -> jobs_pb2.ListJobsResponse:
        organisation_id, size = current_caller().organisation_id, page_size(request.page_size)
        collection_id = await self._collections.resolve(organisation_id, request.collection) if request.collection else None
        query = {"list": "jobs", "organisation": organisation_id, "collection": collection_id or ""}
        position = self._page_tokens.decode(query, request.page_token)
        before = JobPosition(datetime.fromisoformat(position[0]), position[1]) if position else None
        found = await self._jobs.page(organisation_id, collection_id=collection_id, before=before, limit=size + 1)
        messages = [to_job(job) for job in found]
        count = fitting(messages, size)
        token = ""
        if count < len(found):
            last = found[count - 1]
            token = self._page_tokens.encode(query, (last.create_time.isoformat(), last.job_id))
        return jobs_pb2.ListJobsResponse(jobs=messages[:count], next_page_token=token)

    async def WatchJob(self, request: jobs_pb2.WatchJobRequest, context: Context) -> AsyncIterator[jobs_pb2.WatchJobResponse]:
        async for job in self._jobs.watch(current_caller().organisation_id, request.job_id):
            yield jobs_pb2.WatchJobResponse(job=to_job(job))

    async def CancelJob(self, request: jobs_pb2.CancelJobRequest, context: Context) -> jobs_pb2.CancelJobResponse:
        return jobs_pb2.CancelJobResponse(job=to_job(await self._jobs.cancel(current_caller().organisation_id, request.job_id)))

    async def RetryJob(self, request: jobs_pb2.RetryJobRequest, context: Context) -> jobs_pb2.RetryJobResponse:
        return jobs_pb2.RetryJobResponse(job=to_job(await self._jobs.retry(current_caller().organisation_id, request.job_id)))
