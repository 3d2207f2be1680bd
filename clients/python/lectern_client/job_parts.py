"""What the server answers about the parts of a job."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

# Fields that a newer server adds are kept and can be read by name.
ANSWERED = ConfigDict(frozen=True, extra="allow")


class JobStep(BaseModel):
    """How many of a job's documents wait for a step, are in it, past it or failed in it.

    Attributes:
        work_seconds: what workers have spent on it, all together; they work side by side.
    """

    model_config = ANSWERED

    step: str
    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    work_seconds: float = 0.0
    begin_time: datetime | None = None
    end_time: datetime | None = None


class JobDocument(BaseModel):
    """What became of one document in a job."""

    model_config = ANSWERED

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
