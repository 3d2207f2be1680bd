"""What the server answers with. Fields that a newer server adds are kept and can be read by name."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from lectern_client.job_parts import ANSWERED, JobStep

DocumentState = Literal["PROCESSING", "READY", "FAILED", "QUARANTINED", "CANCELLED"]
JobState = Literal["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]
JOB_ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


class _Answered(BaseModel):
    model_config = ANSWERED


class Collection(_Answered):
    """A named set of documents."""

    id: str
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
        external_id: the id that the uploader gave; None when there was none.
        title: as the content says, like ``author`` and ``language`` (ISO 639-1).
        reason: stable code of why the newest content failed; set in FAILED and QUARANTINED.
        message: the same in words.
        pages: only when asked for.
    """

    id: str
    collection_id: str
    external_id: str | None = None
    name: str
    title: str | None = None
    author: str | None = None
    language: str | None = None
    state: DocumentState
    reason: str | None = None
    message: str | None = None
    type: str | None = None
    uri: str | None = None
    metadata: dict[str, Any] = {}
    size_bytes: int = 0
    content_sha256: str | None = None
    page_count: int = 0
    passage_count: int = 0
    pages: list[Page] | None = None
    create_time: datetime | None = None
    update_time: datetime | None = None
    indexed_time: datetime | None = None


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
        steps: the steps that its documents take, in order.
        eta_seconds: time to the end at the measured throughput; None while nothing is written yet.
        stage: the earliest stage that any unfinished document is in; None when all have ended.
        total: documents of the job; ``done`` of them have ended, ``failed`` of those badly.
        embedded: texts run through the embedding model; ``reused`` others took their vector over.
        failures: the first 100.
    """

    id: str
    state: JobState
    collection_id: str | None = None
    kind: str = ""
    stage: str | None = None
    steps: list[JobStep] = []
    total: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
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


class DriftCount(_Answered):
    """Passages in which the index differs from the library in one way.

    Attributes:
        kind: ``MISSING``, ``ORPHAN``, ``STALE``, ``DUPLICATE`` or ``MISMATCH``.
    """

    kind: str
    found: int
    mended: int


class ReconcileReport(_Answered):
    """How far a comparison of index and library is.

    Attributes:
        stage: ``CHECKING``, ``MENDING`` or, in the last one, ``ENDED``.
        done: passages compared; while mending, documents indexed again; ``total`` of them there are.
        unsettled: passages that differ, but whose documents are in work, so that nothing can be said of them yet.
    """

    stage: str
    done: int
    total: int
    drift: list[DriftCount]
    unsettled: int

    @property
    def found(self) -> int:
        """Passages that differ."""
        return sum(each.found for each in self.drift)

    @property
    def left(self) -> int:
        """Of these, passages that were not mended."""
        return sum(each.found - each.mended for each in self.drift)


class Uploaded(Document):
    """A document that was taken in.

    Attributes:
        job: makes it searchable.
        unchanged: the document already had this content, so that nothing is parsed or embedded.
    """

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
    document_name: str
    document_type: str | None = None
    external_id: str | None = None
    collection_id: str
    collection_name: str = ""
    ordinal: int = 0
    text: str
    page: int | None = None
    start: int | None = None
    end: int | None = None
    headings: list[str] = []
    anchor: str | None = None
    uri: str | None = None
    metadata: dict[str, Any] = {}


class PassageInContext(Passage):
    """A passage with those around it, in reading order."""

    before: list[Passage] = []
    after: list[Passage] = []


class Hit(_Answered):
    """A passage that a search found; ``scores`` tells what each arm of the search thought of it."""

    passage_id: str
    document_id: str
    document_name: str
    document_type: str | None = None
    external_id: str | None = None
    collection_id: str
    collection_name: str = ""
    text: str
    page: int | None = None
    uri: str | None = None
    headings: list[str] = []
    score: float
    scores: dict[str, float | None] = {}
    metadata: dict[str, Any] = {}


class SearchResult(_Answered):
    """What a search found, best first."""

    hits: list[Hit]
    timings_ms: dict[str, float] = {}
    trace_id: str = ""


class Citation(_Answered):
    """What a statement of an answer rests on.

    Attributes:
        marker: the number in the answer's ``[n]``.
        quote: ``text[start:end]`` of the passage, in Unicode code points.
    """

    marker: int
    passage_id: str
    document_id: str
    document_name: str
    page: int | None = None
    uri: str | None = None
    quote: str
    start: int = 0
    end: int = 0


class Answer(_Answered):
    """An answer with its evidence.

    Attributes:
        answered: whether the documents hold an answer; when not, the text says so.
        hits: the passages that the answer could rest on, best first.
        finish_reason: ``STOP``, or ``LENGTH`` when the answer was cut at its longest.
    """

    answer: str
    answered: bool = True
    citations: list[Citation]
    hits: list[Hit] = []
    model: str = ""
    finish_reason: str = ""
    usage: dict[str, int] = {}
    timings_ms: dict[str, float] = {}
    trace_id: str = ""


class AskMetadata(SearchResult):
    """First event of a streamed answer: what it will rest on."""


class AskDelta(_Answered):
    """More of a streamed answer's text."""

    text: str


class AskCitation(Citation):
    """A citation of a streamed answer, sent once its marker has been."""


class AskComplete(Answer):
    """Last event of a streamed answer: the whole of it."""


AskEvent = AskMetadata | AskDelta | AskCitation | AskComplete


class EmbeddingModel(_Answered):
    """A model that turns texts into vectors; those of two revisions are not comparable."""

    name: str
    revision: str
    dimension: int
    max_length_tokens: int
    normalised: bool
    state: str
    device: str


class EmbeddingModels(_Answered):
    """Every configured embedding model; ``current_model`` is used for new passages and queries."""

    items: list[EmbeddingModel]
    current_model: str


class LanguageModel(_Answered):
    """A model that writes answers."""

    name: str
    engine: str


class LanguageModels(_Answered):
    """Every configured language model; ``default_model`` answers questions that name none."""

    items: list[LanguageModel]
    default_model: str


class ApiKey(_Answered):
    """What may be known of an API key.

    Attributes:
        prefix: tells it apart: ``lk_<prefix>_…``.
        role: ``member`` uses the library, ``admin`` also manages keys, ``operator`` also organisations.
        last_used_time: up to a minute late; None: never.
    """

    id: str
    organisation_id: str = ""
    name: str
    prefix: str
    role: str
    create_time: datetime | None = None
    last_used_time: datetime | None = None
    expire_time: datetime | None = None
    revoke_time: datetime | None = None


class NewApiKey(ApiKey):
    """A key that was just made; ``key`` is shown this once."""

    key: str = Field(repr=False)


class Organisation(_Answered):
    """A customer of the server; its documents are nobody else's."""

    id: str
    name: str
    create_time: datetime | None = None


class NewOrganisation(Organisation):
    """An organisation that was just made, with its first admin key."""

    api_key: NewApiKey
