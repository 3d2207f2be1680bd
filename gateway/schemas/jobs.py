from __future__ import annotations

from datetime import datetime

from pydantic import Field

from gateway.domain.jobs import JobDocumentState, JobKind, JobState
from gateway.schemas.shapes import OptionalText, Page, Shape, own_id


class JobFailure(Shape):
    """A document that did not become searchable."""

    document_id: str
    document_name: str
    external_id: OptionalText
    reason: str = Field(description="Stable code.")
    message: str = Field(description="The same in words, naming the fix.")


class JobStep(Shape):
    """How far a job's documents are with one step of their way."""

    step: str = Field(description="`FETCH`, `PARSE`, `CHUNK`, `EMBED`, `VERIFY`, `PUBLISH`; `PURGE` in a job that removes.")
    waiting: int = Field(description="Documents that wait for it.")
    running: int = Field(description="Documents that are in it.")
    done: int = Field(description="Documents that are past it.")
    failed: int = Field(description="Documents that failed in it.")
    work_seconds: float = Field(description="What workers have spent on it, all together; they work side by side.")
    begin_time: datetime | None = Field(description="When a worker first began it; null before.")
    end_time: datetime | None = Field(description="When a worker last ended it; null before.")


class JobDocument(Shape):
    """What became of one document in a job."""

    document_id: str
    document_name: OptionalText = Field(description="Null when it was deleted.")
    external_id: OptionalText
    state: JobDocumentState = Field(description="`SUPERSEDED`: newer content or a delete came first.")
    stage: str = Field(description="The stage that it is in, or ended in.")
    reason: OptionalText = Field(description="Stable code of why it did not succeed.")
    message: OptionalText = Field(description="The same in words, naming the fix.")
    embedded: int = Field(description="Passages run through the embedding model.")
    reused: int = Field(description="Passages whose vector was taken over.")
    start_time: datetime | None = Field(description="When a worker first took it; null before, and when there was nothing to do.")
    end_time: datetime | None


class JobDocumentList(Page[JobDocument]):
    pass


class Job(Shape):
    """Work on one or more documents that outlives the request that asked for it."""

    id: str = own_id("job_id")
    collection_id: OptionalText
    kind: JobKind
    state: JobState
    stage: OptionalText = Field(description="The earliest stage that any unfinished document is in; null when all have ended.")
    steps: list[JobStep] = Field(description="The steps that its documents take, in order.")
    total: int = Field(description="Documents.")
    done: int = Field(description="Documents whose work has ended, whichever way.")
    failed: int = Field(description="Of these, documents that failed.")
    cancelled: int = Field(description="Of these, documents that were cancelled.")
    embedded: int = Field(description="Passages run through the embedding model.")
    reused: int = Field(description="Passages whose vector was taken over, because their text did not change.")
    passages: int = Field(description="Passages written so far.")
    eta_seconds: float | None = Field(description="Time to the end at the measured throughput; null while nothing is written yet.")
    failures: list[JobFailure] = Field(description="The first 100; `/jobs/{job}/documents?state=FAILED` has all.")
    create_time: datetime | None
    end_time: datetime | None


class JobList(Page[Job]):
    pass
