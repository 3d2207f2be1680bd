from __future__ import annotations

from pydantic import ConfigDict, Field

from gateway.domain.reconcile import ReconcileStage
from gateway.schemas.shapes import RequestBody, Shape


class ReconcileInput(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"repair": True}]})

    repair: bool = Field(default=False, description="Mend what is found; otherwise it is only counted.")


class DriftCount(Shape):
    """Passages in which the index differs from the library in one way."""

    kind: str = Field(description="`MISSING`, `ORPHAN`, `STALE`, `DUPLICATE` or `MISMATCH`.")
    found: int
    mended: int


class ReconcileReport(Shape):
    """How far a reconciliation is, or, in stage `ENDED`, what came of it."""

    stage: ReconcileStage
    done: int = Field(description="Passages compared; while `MENDING`, documents indexed again.")
    total: int
    drift: list[DriftCount] = Field(description="One for each kind.")
    unsettled: int = Field(description="Passages that differ, but whose documents are in work, so that nothing can be said of them yet.")
