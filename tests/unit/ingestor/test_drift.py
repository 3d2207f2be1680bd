from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.domain import reconcile
from ingestor.domain.drift import Difference, DriftKind, IndexRow, Standing, classify, compare
from ingestor.domain.pipeline.purge import Deleted

IDS = st.integers(0, 40).map(lambda number: f"{number:02}")


def row(passage_id: str, *, document_id: str = "d", generation: int = 2, fingerprint: str = "f") -> IndexRow:
    return IndexRow(passage_id, document_id, generation, "c", fingerprint)


def standing(*, visible: bool = False, visible_generation: int | None = 2, has_twin: bool = False) -> Standing:
    return Standing(in_work=False, visible=visible, visible_generation=visible_generation, has_twin=has_twin)


@pytest.mark.parametrize("other", [row("a", document_id="e"), row("a", generation=3), row("a", fingerprint="g")])
def test_another_row_under_the_same_id_differs(other: IndexRow) -> None:
    assert compare([row("a")], [other]) == [Difference(row("a"), other)]


def test_a_row_without_a_fingerprint_is_compared_by_the_rest() -> None:
    assert compare([row("a")], [row("a", fingerprint="")]) == []


def test_a_second_row_under_one_id_is_a_difference_of_its_own() -> None:
    assert compare([row("a")], [row("a"), row("a")]) == [Difference(row("a"), row("a"), repeated=True)]


@pytest.mark.parametrize(
    ("difference", "known", "kind"),
    [
        (Difference(row("a"), None), standing(visible=True), DriftKind.MISSING),
        (Difference(row("a"), None), standing(visible=False), None),
        (Difference(row("a"), row("a", fingerprint="g")), standing(visible=True), DriftKind.MISMATCH),
        (Difference(row("a"), row("a", fingerprint="g")), standing(visible=False), None),
        (Difference(row("a"), row("a"), repeated=True), standing(visible=True), DriftKind.DUPLICATE),
        (Difference(None, row("a")), standing(visible=True), None),
        (Difference(None, row("a")), standing(visible_generation=None), DriftKind.ORPHAN),
        (Difference(None, row("a")), standing(visible_generation=3), DriftKind.STALE),
        (Difference(None, row("a")), standing(has_twin=True), DriftKind.DUPLICATE),
        (Difference(None, row("a")), standing(has_twin=False), DriftKind.ORPHAN),
    ],
)
def test_a_difference_is_what_the_library_knows_of_it(difference: Difference, known: Standing, kind: DriftKind | None) -> None:
    assert classify(difference, known) is kind


class Stores:
    """A library and an index that are sets of ids; nothing in them is in work."""

    def __init__(self, visible: Iterable[str], held: Iterable[str]) -> None:
        self.visible, self.held = sorted(visible), sorted(held)

    async def visible_count(self, organisation_id: str) -> int:
        return len(self.visible)

    async def visible_rows(self, organisation_id: str, after: str, limit: int) -> list[IndexRow]:
        return [row(each) for each in self.visible if each > after][:limit]

    async def scan(self, organisation_id: str, after: str, limit: int) -> list[IndexRow]:
        return [row(each) for each in self.held if each > after][:limit]

    async def standings(self, organisation_id: str, differences: Sequence[Difference]) -> list[Standing]:
        return [standing(visible=each.row.passage_id in self.visible, visible_generation=None) for each in differences]

    async def missing(self, organisation_id: str, passage_ids: Sequence[str]) -> set[str]:
        return set(passage_ids) - set(self.held)

    async def record(self, organisation_id: str, left: Mapping[DriftKind, int]) -> None:
        self.left = left

    async def index_again(self, organisation_id: str, document_ids: Sequence[str]) -> Mapping[str, int]:
        raise AssertionError("a check mends nothing")

    async def settled(self, organisation_id: str, generations: Mapping[str, int]) -> Mapping[str, bool]:
        raise AssertionError("a check mends nothing")

    async def delete_passages(self, organisation_id: str, passage_ids: Sequence[str]) -> Deleted:
        raise AssertionError("a check mends nothing")

    async def lease(self, organisation_id: str, token: str) -> bool:
        raise AssertionError("a check needs no lease")

    async def release(self, organisation_id: str, token: str) -> None:
        raise AssertionError("a check needs no lease")


@given(st.frozensets(IDS), st.frozensets(IDS), st.integers(1, 7))
def test_every_difference_is_found_once_wherever_the_pages_end(visible: frozenset[str], held: frozenset[str], page: int) -> None:
    stores = Stores(visible, held)

    async def run() -> list[reconcile.Report]:
        return [report async for report in reconcile.Reconciler(stores, stores).check("organisation")]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconcile, "WINDOW_PASSAGES", page)
        report = asyncio.run(run())[-1]
    assert report.found == Counter({DriftKind.MISSING: len(visible - held), DriftKind.ORPHAN: len(held - visible)})
    assert (report.stage, report.done) == (reconcile.ReconcileStage.ENDED, len(visible))
    assert stores.left == +report.found
