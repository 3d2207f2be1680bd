from __future__ import annotations

from typing import Any

import pytest

from tests.unit.client.conftest import Gateway, events, problem
from tests.unit.client.test_cli import Lectern, lectern

__all__ = ["lectern"]
PATH = "/api/v1/reindex"


def rebuild(state: str, **fields: Any) -> dict[str, Any]:
    counts = {"walk": 1, "done": 5, "total": 9, "embedded": 2, "reused": 3}
    times = {"create_time": "2026-01-02T03:04:05Z"}
    return {"rebuild_id": "rebuild-1", "state": state, "reason": "", "message": "", **counts, **times, **fields}


def scripted(gateway: Gateway, last: dict[str, Any]) -> None:
    gateway.on("POST", PATH, events(("progress", rebuild("BUILDING")), ("complete", last)))


@pytest.mark.parametrize(("options", "follow"), [((), False), (("--follow",), True)])
def test_a_finished_rebuild_is_told_with_what_it_cost(gateway: Gateway, lectern: Lectern, options: tuple[str, ...], follow: bool) -> None:
    scripted(gateway, rebuild("SUCCEEDED"))
    ran = lectern("reindex", *options)
    assert ran.code == 0
    assert "2 passages were embedded, 3 vectors taken over" in ran.out
    assert gateway.requests[0].json == {"follow": follow}


def test_a_failed_rebuild_ends_with_an_error_that_says_why(gateway: Gateway, lectern: Lectern) -> None:
    scripted(gateway, rebuild("FAILED", reason="VECTORS_LOST", message="Milvus lost some."))
    ran = lectern("reindex")
    assert ran.code == 1
    assert "The old index answers as before. Milvus lost some." in ran.err


@pytest.mark.parametrize(("state", "code"), [("SUCCEEDED", 0), ("FAILED", 1)])
def test_json_has_the_whole_rebuild_whatever_came_of_it(gateway: Gateway, lectern: Lectern, state: str, code: int) -> None:
    scripted(gateway, rebuild(state))
    ran = lectern("reindex", "--json")
    assert (ran.code, ran.json) == (code, rebuild(state))


def test_a_rebuild_beside_another_is_refused_with_how_to_look_at_that_one(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("POST", PATH, problem(409, "REBUILD_RUNNING", "`lectern reindex --follow` shows how far it is."))
    ran = lectern("reindex")
    assert ran.code == 1
    assert "lectern reindex --follow" in ran.err
