from __future__ import annotations

from typing import Any

import pytest

from tests.unit.client.conftest import Gateway, events, problem
from tests.unit.client.test_cli import Lectern, lectern

__all__ = ["lectern"]


def report(found: int = 0, mended: int = 0, unsettled: int = 0, *, stage: str = "ENDED") -> dict[str, Any]:
    drift = [{"kind": "MISSING", "found": found, "mended": mended}, {"kind": "ORPHAN", "found": 0, "mended": 0}]
    return {"stage": stage, "done": 7, "total": 7, "drift": drift, "unsettled": unsettled}


def scripted(gateway: Gateway, found: int = 0, mended: int = 0, unsettled: int = 0) -> None:
    ended = report(found, mended, unsettled)
    gateway.on("POST", "/api/v1/reconcile", events(("progress", report(stage="CHECKING")), ("complete", ended)))


@pytest.mark.parametrize(
    ("option", "counts", "code"),
    [
        ("--check", {}, 0),
        ("--check", {"found": 2}, 3),
        ("--repair", {"found": 2, "mended": 2}, 0),
        ("--repair", {"found": 2, "mended": 1}, 3),
    ],
)
def test_the_exit_status_tells_whether_index_and_documents_agree(
    gateway: Gateway, lectern: Lectern, option: str, counts: dict[str, int], code: int
) -> None:
    scripted(gateway, **counts)
    assert lectern("reconcile", option).code == code
    assert gateway.requests[0].json == {"repair": option == "--repair"}


def test_drift_is_shown_by_kind_with_what_to_do(gateway: Gateway, lectern: Lectern) -> None:
    scripted(gateway, found=2, unsettled=4)
    ran = lectern("reconcile", "--check")
    rows = [line.split() for line in ran.out.splitlines()[:3]]
    assert rows == [["drift", "found"], ["missing", "2"], ["orphan", "0"]]
    assert "4 more passages" in ran.out
    assert "--repair" in ran.out


def test_json_has_the_whole_report(gateway: Gateway, lectern: Lectern) -> None:
    scripted(gateway, found=2, mended=2)
    assert lectern("reconcile", "--repair", "--json").json == report(found=2, mended=2)


def test_a_repair_that_is_refused_is_told_as_any_error(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("POST", "/api/v1/reconcile", problem(409, "RECONCILIATION_RUNNING", "Try again when it has ended."))
    ran = lectern("reconcile", "--repair")
    assert (ran.code, "Try again when it has ended." in ran.err) == (1, True)
