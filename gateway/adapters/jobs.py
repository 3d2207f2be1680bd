"""Jobs, at the ingestor."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc

from gateway.adapters.peers import calling
from gateway.convert import from_job_document_state, from_job_kind, from_job_state, to_job, to_job_document
from gateway.domain.jobs import Job, JobDocument, JobDocumentState, JobFilter
from gateway.domain.listing import Listing, PageRequest
from lectern.ingestor.v1 import jobs_pb2 as pb
from lectern.ingestor.v1.jobs_pb2_grpc import JobServiceStub


class IngestorJobs:
    """`gateway.domain.jobs.Jobs` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float, watch_seconds: float) -> None:
        self._stub = JobServiceStub(channel)
        self._timeout = timeout_seconds
        self._watch_seconds = watch_seconds

    async def get(self, job_id: str) -> Job:
        with calling("ingestor"):
            return to_job((await self._stub.GetJob(pb.GetJobRequest(job_id=job_id), timeout=self._timeout)).job)

    async def list(self, page: PageRequest, only: JobFilter) -> Listing[Job]:
        request = pb.ListJobsRequest(
            page_size=page.size,
            page_token=page.token,
            collection=only.collection,
            state=from_job_state(only.state),
            kind=from_job_kind(only.kind),
        )
        with calling("ingestor"):
            response = await self._stub.ListJobs(request, timeout=self._timeout)
        return Listing([to_job(message) for message in response.jobs], response.next_page_token)

    async def documents(self, job_id: str, page: PageRequest, state: JobDocumentState | None) -> Listing[JobDocument]:
        request = pb.ListJobDocumentsRequest(
            job_id=job_id, page_size=page.size, page_token=page.token, state=from_job_document_state(state)
        )
        with calling("ingestor"):
            response = await self._stub.ListJobDocuments(request, timeout=self._timeout)
        return Listing([to_job_document(message) for message in response.documents], response.next_page_token)

    async def watch(self, job_id: str) -> AsyncGenerator[Job, None]:
        call = self._stub.WatchJob(pb.WatchJobRequest(job_id=job_id), timeout=self._watch_seconds)
        try:
            with calling("ingestor"):
                async for response in call:
                    yield to_job(response.job)
        finally:
            call.cancel()

    async def cancel(self, job_id: str) -> Job:
        with calling("ingestor"):
            return to_job((await self._stub.CancelJob(pb.CancelJobRequest(job_id=job_id), timeout=self._timeout)).job)

    async def retry(self, job_id: str) -> Job:
        with calling("ingestor"):
            return to_job((await self._stub.RetryJob(pb.RetryJobRequest(job_id=job_id), timeout=self._timeout)).job)
