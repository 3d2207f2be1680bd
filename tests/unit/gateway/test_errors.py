from __future__ import annotations

import pytest

from gateway.errors import body_too_large, http_status, nearest, unsupported_media_type
from shared.errors import AppError, Status

STATUSES = {
    Status.INVALID_ARGUMENT: 400,
    Status.OUT_OF_RANGE: 400,
    Status.UNAUTHENTICATED: 401,
    Status.PERMISSION_DENIED: 403,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.FAILED_PRECONDITION: 409,
    Status.ABORTED: 409,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.CANCELLED: 499,
    Status.INTERNAL: 500,
    Status.UNKNOWN: 500,
    Status.DATA_LOSS: 500,
    Status.UNIMPLEMENTED: 501,
    Status.UNAVAILABLE: 503,
    Status.DEADLINE_EXCEEDED: 504,
}


@pytest.mark.parametrize("status", Status)
def test_every_status_has_its_http_status(status: Status) -> None:
    assert http_status(AppError("REASON", status, "message")) == STATUSES[status]


def test_the_map_knows_all_sixteen_codes_and_no_other() -> None:
    assert len(STATUSES) == 16
    assert set(STATUSES) == set(Status)


def test_http_tells_bodies_apart_where_grpc_cannot() -> None:
    assert http_status(body_too_large(10)) == 413
    assert http_status(unsupported_media_type("text/plain", wanted="application/json")) == 415


def test_the_nearest_name_is_always_one_of_those_known() -> None:
    assert nearest("colections", ["query", "collections"]) == "collections"
    assert nearest("zzz", ["query"]) == "query"
