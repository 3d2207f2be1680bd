"""JobService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import grpc

from ingestor.convert import from_job_kind, from_job_state, from_task_state, to_job, to_job_document
from ingestor.domain.collections import Collections
from ingestor.domain.jobs import JobFilter, JobPosition, Jobs
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
        only = JobFilter(
            await self._collections.resolve(organisation_id, request.collection) if request.collection else None,
            from_job_state(request.state),
            from_job_kind(request.kind),
        )
        query = {"list": "jobs", "organisation": organisation_id, "only": repr(only)}
        position = self._page_tokens.decode(query, request.page_token)
        before = JobPosition(datetime.fromisoformat(position[0]), position[1]) if position else None
        found = await self._jobs.page(organisation_id, only=only, before=before, limit=size + 1)
        messages = [to_job(job) for job in found]
        count = fitting(messages, size)
        token = ""
        if count < len(found):
            last = found[count - 1]
            token = self._page_tokens.encode(query, (last.create_time.isoformat(), last.job_id))
        return jobs_pb2.ListJobsResponse(jobs=messages[:count], next_page_token=token)

    async def ListJobDocuments(self, request: jobs_pb2.ListJobDocumentsRequest, context: Context) -> jobs_pb2.ListJobDocumentsResponse:
        organisation_id, size = current_caller().organisation_id, page_size(request.page_size)
        query = {"list": "job documents", "organisation": organisation_id, "job": request.job_id, "state": str(request.state)}
        position = self._page_tokens.decode(query, request.page_token)
        found = await self._jobs.documents(
            organisation_id,
            request.job_id,
            state=from_task_state(request.state),
            after_task=int(position[0]) if position else 0,
            limit=size + 1,
        )
        messages = [to_job_document(document) for document in found]
        count = fitting(messages, size)
        token = self._page_tokens.encode(query, (str(found[count - 1].task_id),)) if count < len(found) else ""
        return jobs_pb2.ListJobDocumentsResponse(documents=messages[:count], next_page_token=token)

    async def WatchJob(self, request: jobs_pb2.WatchJobRequest, context: Context) -> AsyncIterator[jobs_pb2.WatchJobResponse]:
        async for job in self._jobs.watch(current_caller().organisation_id, request.job_id):
            yield jobs_pb2.WatchJobResponse(job=to_job(job))

    async def CancelJob(self, request: jobs_pb2.CancelJobRequest, context: Context) -> jobs_pb2.CancelJobResponse:
        return jobs_pb2.CancelJobResponse(job=to_job(await self._jobs.cancel(current_caller().organisation_id, request.job_id)))

    async def RetryJob(self, request: jobs_pb2.RetryJobRequest, context: Context) -> jobs_pb2.RetryJobResponse:
        return jobs_pb2.RetryJobResponse(job=to_job(await self._jobs.retry(current_caller().organisation_id, request.job_id)))
