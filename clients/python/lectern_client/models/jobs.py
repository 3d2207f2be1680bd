"""Jobs, their steps and their documents."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from lectern_client.models.reply import Reply

JobState = Literal["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]
JOB_ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


class JobStep(Reply):
    """How many of a job's documents wait for a step, are in it, past it or failed in it.

    Attributes:
        work_seconds: what workers have spent on it, all together; they work side by side.
    """

    step: str
    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    work_seconds: float = 0.0
    begin_time: datetime | None = None
    end_time: datetime | None = None


class JobFailure(Reply):
    """One document of a job that did not become searchable."""

    document_id: str = ""
    document_name: str = ""
    external_id: str | None = None
    reason: str
    message: str = ""


class Job(Reply):
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
    steps: list[JobStep] = Field(default_factory=list)
    total: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    embedded: int = 0
    reused: int = 0
    passages: int = 0
    eta_seconds: float | None = None
    failures: list[JobFailure] = Field(default_factory=list)
    create_time: datetime | None = None
    end_time: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.state in JOB_ENDED


class JobDocument(Reply):
    """What became of one document in a job."""

    document_id: str
    document_name: str | None = None
    external_id: str | None = None
    state: str
    stage: str
    reason: str | None = None
    message: str | None = None
    embedded: int = 0
    reused: int = 0
    start_time: datetime | None = None
    end_time: datetime | None = None
