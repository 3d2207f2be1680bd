"""What the server answers with. Fields that a newer server adds are kept and can be read by name."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

DocumentState = Literal["PROCESSING", "READY", "FAILED", "QUARANTINED", "CANCELLED"]
JobState = Literal["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]
JOB_ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


class _Answered(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Collection(_Answered):
    """A named set of documents."""

    collection_id: str
    name: str
    description: str = ""
    metadata: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    document_count: int = 0
    passage_count: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None


class CollectionDeleted(_Answered):
    """What went with a collection; ``job_id`` purges it."""

    document_count: int = 0
    job_id: str = ""


class Page(_Answered):
    """One page of a document, counted from 1."""

    number: int
    text: str


class Document(_Answered):
    """One document.

    Attributes:
        external_id: the id that the uploader gave; empty or None when there was none.
        reason: stable code of why the newest content failed; set in FAILED and QUARANTINED.
        message: the same in words.
        pages: only when asked for.
    """

    document_id: str
    collection_id: str = ""
    external_id: str | None = None
    name: str = ""
    state: DocumentState
    reason: str | None = None
    message: str | None = None
    type: str | None = None
    uri: str | None = None
    metadata: dict[str, Any] = {}
    size_bytes: int = 0
    page_count: int | None = None
    passage_count: int = 0
    pages: list[Page] | None = None
    create_time: datetime | None = None
    update_time: datetime | None = None


class JobFailure(_Answered):
    """One document of a job that did not become searchable."""

    document_id: str = ""
    document_name: str = ""
    external_id: str | None = None
    reason: str
    message: str = ""


class Job(_Answered):
    """Work that outlives the request that asked for it.

    Attributes:
        stage: the earliest stage that any unfinished document is in; empty or None when all have ended.
        total: documents of the job; ``done`` of them have ended, ``failed`` of those badly.
        embedded: texts run through the embedding model; ``reused`` others took their vector over.
        failures: the first 100.
    """

    job_id: str
    state: JobState
    collection_id: str | None = None
    kind: str = ""
    stage: str | None = None
    total: int = 0
    done: int = 0
    failed: int = 0
    embedded: int = 0
    reused: int = 0
    passages: int = 0
    eta_seconds: float | None = None
    failures: list[JobFailure] = []
    create_time: datetime | None = None
    end_time: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.state in JOB_ENDED


class Uploaded(_Answered):
    """A document that was taken in.

    Attributes:
        job: makes it searchable.
        unchanged: the document already had this content, so that nothing is parsed or embedded.
    """

    document: Document
    job: Job
    unchanged: bool = False


class BatchUploaded(_Answered):
    """Many texts that were taken in as one job; ``unchanged`` of them had this content already."""

    job: Job
    unchanged: int = 0


class DeletionReceipt(_Answered):
    """Proof of a delete. ``purge_verified_time`` is set once every store was seen to be empty of the document."""

    document_id: str
    job_id: str | None = None
    deleted_time: datetime | None = None
    purge_verified_time: datetime | None = None
    passage_count: int = 0
    vector_count: int = 0
    file_count: int = 0


class Passage(_Answered):
    """A piece of a document's text; ``start`` and ``end`` are offsets in the document's, in Unicode code points."""

    passage_id: str
    document_id: str
    document_name: str = ""
    external_id: str | None = None
    collection_id: str = ""
    text: str
    page: int | None = None
    start: int | None = None
    end: int | None = None
    headings: list[str] = []
    uri: str | None = None
    metadata: dict[str, Any] = {}


class Hit(_Answered):
    """A passage that a search found; ``scores`` tells what each arm of the search thought of it."""

    passage_id: str
    document_id: str
    document_name: str = ""
    external_id: str | None = None
    collection_id: str = ""
    text: str
    page: int | None = None
    uri: str | None = None
    score: float
    scores: dict[str, float | None] = {}
    metadata: dict[str, Any] = {}


class SearchResult(_Answered):
    """What a search found, best first."""

    hits: list[Hit]
    timings_ms: dict[str, float] = {}
    trace_id: str = ""


class Citation(_Answered):
    """What a statement of an answer rests on; ``marker`` is the number in the text's ``[n]``, ``quote`` a part of the passage."""

    marker: int
    passage_id: str
    document_id: str = ""
    document_name: str = ""
    page: int | None = None
    uri: str | None = None
    quote: str = ""


class Answer(_Answered):
    """An answer with its evidence."""

    answer: str
    citations: list[Citation] = []
    hits: list[Hit] = []
    timings_ms: dict[str, float] = {}
    trace_id: str = ""


class AskMetadata(_Answered):
    """First event of a streamed answer: what it will rest on."""

    event: Literal["metadata"] = "metadata"
    hits: list[Hit] = []
    trace_id: str = ""


class AskDelta(_Answered):
    """More of a streamed answer's text."""

    event: Literal["delta"] = "delta"
    text: str


class AskCitation(Citation):
    """A citation of a streamed answer, sent once its marker has been."""

    event: Literal["citation"] = "citation"


class AskComplete(_Answered):
    """Last event of a streamed answer."""

    event: Literal["complete"] = "complete"
    answered: bool | None = None
    timings_ms: dict[str, float] = {}
    trace_id: str = ""


AskEvent = AskMetadata | AskDelta | AskCitation | AskComplete


class Organisation(_Answered):
    """A customer of the server; its documents are nobody else's."""

    organisation_id: str
    name: str = ""
    create_time: datetime | None = None


class ApiKey(_Answered):
    """An API key; ``key`` is set once, when it is made."""

    api_key_id: str
    name: str = ""
    prefix: str = ""
    key: str | None = Field(default=None, repr=False)
    create_time: datetime | None = None
