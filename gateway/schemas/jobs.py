from __future__ import annotations

from datetime import datetime

from pydantic import Field

from gateway.domain.jobs import JobState
from gateway.schemas.shapes import OptionalText, Page, Shape, own_id


class JobFailure(Shape):
    """A document that did not become searchable."""

    document_id: str
    document_name: str
    external_id: OptionalText
    reason: str = Field(description="Stable code.")
    message: str = Field(description="The same in words, naming the fix.")


class Job(Shape):
    """Work on one or more documents that outlives the request that asked for it."""

    id: str = own_id("job_id")
    collection_id: OptionalText
    kind: str = Field(description="`INGEST` or `PURGE`.")
    state: JobState
    stage: OptionalText = Field(description="The earliest stage that any unfinished document is in; null when all have ended.")
    total: int = Field(description="Documents.")
    done: int = Field(description="Documents whose work has ended, whichever way.")
    failed: int = Field(description="Of these, documents that failed.")
    embedded: int = Field(description="Passages run through the embedding model.")
    reused: int = Field(description="Passages whose vector was taken over, because their text did not change.")
    passages: int = Field(description="Passages written so far.")
    eta_seconds: float | None = Field(description="Time to the end at the pace so far; null while unknown.")
    failures: list[JobFailure] = Field(description="The first 100.")
    create_time: datetime | None
    end_time: datetime | None


class JobList(Page[Job]):
    pass
