"""What a comparison of library and index found."""

from __future__ import annotations

from lectern_client.models.reply import Reply


class DriftCount(Reply):
    """Passages in which the index differs from the library in one way.

    Attributes:
        kind: ``MISSING``, ``ORPHAN``, ``STALE``, ``DUPLICATE`` or ``MISMATCH``.
    """

    kind: str
    found: int
    mended: int


class ReconcileReport(Reply):
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
