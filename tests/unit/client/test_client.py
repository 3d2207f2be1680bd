from __future__ import annotations

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lectern_client import ApiError, AsyncLectern, Lectern, ProtocolError, RetryPolicy, UnreachableError
from lectern_client.models import AskCitation, AskComplete, AskDelta, AskMetadata
from tests.conftest import free_port
from tests.unit.client.conftest import (
    KEY,
    Gateway,
    Reply,
    Request,
    answer,
    citation,
    collection,
    document,
    events,
    hit,
    job,
    ok,
    problem,
    serving,
)

COLLECTIONS = "/api/v1/collections"
DOCUMENTS = "/api/v1/collections/handbook/documents"


def connect(gateway: Gateway, patience_seconds: float = 5.0) -> Lectern:
    return Lectern(gateway.url, KEY, retries=RetryPolicy(patience_seconds))


def test_every_request_carries_the_key_and_names_the_client(gateway: Gateway) -> None:
    gateway.on("GET", f"{COLLECTIONS}/handbook", ok(collection()))
    with connect(gateway) as lectern:
        found = lectern.collections.get("handbook")
    assert (found.id, found.document_count) == ("id-handbook", 2)
    assert found.create_time is not None
    (request,) = gateway.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"].startswith("lectern-python/")


def test_a_name_with_odd_characters_stays_one_segment_of_the_address(gateway: Gateway) -> None:
    gateway.on("GET", f"{COLLECTIONS}/a%2Fb%20c%3F%C3%A9", ok(collection("a/b c?é")))
    with connect(gateway) as lectern:
        assert lectern.collections.get("a/b c?é").name == "a/b c?é"


def test_fields_of_a_newer_server_are_kept(gateway: Gateway) -> None:
    gateway.on("GET", f"{COLLECTIONS}/handbook", ok(collection(colour="green")))
    with connect(gateway) as lectern:
        assert lectern.collections.get("handbook").model_dump()["colour"] == "green"


def test_a_list_goes_through_all_pages_and_asks_for_one_only_when_it_is_needed(gateway: Gateway) -> None:
    first = ok({"items": [collection("a"), collection("b")], "next_page_token": "t2"})
    second = ok({"items": [collection("c")], "next_page_token": None})
    gateway.on("GET", COLLECTIONS, first, second)
    with connect(gateway) as lectern:
        listed = lectern.collections.list(page_size=2)
        assert [next(listed).name, next(listed).name] == ["a", "b"]
        assert len(gateway.requests) == 1
        assert [found.name for found in listed] == ["c"]
    assert gateway.requests[1].path.partition("?")[2] == "page_size=2&page_token=t2"


def test_a_refusal_carries_reason_fields_and_request_id(gateway: Gateway) -> None:
    wrong = {"field": "body.name", "message": "There must be a name."}
    gateway.on("POST", COLLECTIONS, problem(400, "INVALID_REQUEST", "The request is not as it should be.", errors=[wrong]))
    with connect(gateway) as lectern, pytest.raises(ApiError) as refused:
        lectern.collections.create("")
    error = refused.value
    assert (error.status, error.reason, error.request_id) == (400, "INVALID_REQUEST", "req-7")
    assert [(field.field, field.message) for field in error.errors] == [("body.name", "There must be a name.")]
    assert len(gateway.requests) == 1


def test_a_busy_server_is_asked_again_after_the_time_it_names(gateway: Gateway) -> None:
    busy = problem(429, "EMBEDDER_BUSY", "Too much work.", retry_after="1")
    gateway.on("POST", "/api/v1/search", busy, ok({"hits": [hit()], "timings_ms": {}, "trace_id": "t"}))
    began = time.monotonic()
    with connect(gateway) as lectern:
        assert lectern.search("leave").hits[0].score == 0.93
    assert time.monotonic() - began >= 1.0
    assert len(gateway.requests) == 2


def test_a_server_that_stays_busy_is_given_up_on_when_patience_ends(gateway: Gateway) -> None:
    gateway.on("POST", "/api/v1/search", problem(503, "GATEWAY_BUSY", "Too much work.", retry_after="3600"))
    began = time.monotonic()
    with connect(gateway) as lectern, pytest.raises(ApiError) as refused:
        lectern.search("leave")
    assert time.monotonic() - began < 2
    assert (refused.value.reason, refused.value.retry_after_seconds) == ("GATEWAY_BUSY", 3600)


def test_without_patience_nothing_is_sent_twice(gateway: Gateway) -> None:
    gateway.on("POST", "/api/v1/search", problem(503, "GATEWAY_BUSY", "Too much work.", retry_after="1"))
    with connect(gateway, 0) as lectern, pytest.raises(ApiError):
        lectern.search("leave")
    assert len(gateway.requests) == 1


def test_a_broken_connection_is_tried_again_only_where_that_is_harmless(gateway: Gateway) -> None:
    broken = Reply(200, [b'{"half'], cut=True)
    gateway.on("GET", "/api/v1/jobs/job-1", broken, ok(job()))
    gateway.on("POST", "/api/v1/jobs/job-1:retry", broken, ok(job()))
    with connect(gateway) as lectern:
        assert lectern.jobs.get("job-1").state == "SUCCEEDED"
        with pytest.raises(UnreachableError):
            lectern.jobs.retry("job-1")
    assert len(gateway.sent("POST", "/api/v1/jobs/job-1:retry")) == 1


def test_what_creates_something_is_sent_again_under_the_same_idempotency_key(gateway: Gateway) -> None:
    broken = Reply(201, [b'{"half'], cut=True)
    in_work = problem(409, "REQUEST_IN_WORK", "Still in work.", retry_after="1")
    gateway.on("POST", "/api/v1/collections", broken, in_work, ok(collection(), 201))
    with connect(gateway) as lectern:
        assert lectern.collections.create("handbook").name == "handbook"
        lectern.collections.create("papers")
    keys = [request.headers["idempotency-key"] for request in gateway.sent("POST", "/api/v1/collections")]
    assert keys[0] == keys[1] == keys[2] != keys[3]


def test_another_conflict_is_raised_at_once(gateway: Gateway) -> None:
    gateway.on("POST", "/api/v1/collections", problem(409, "COLLECTION_EXISTS", "The name is taken."))
    with connect(gateway) as lectern, pytest.raises(ApiError, match="COLLECTION_EXISTS"):
        lectern.collections.create("handbook")
    assert len(gateway.requests) == 1


def test_nobody_listening_is_said_with_the_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Lectern(url, KEY, retries=RetryPolicy(0)) as lectern, pytest.raises(UnreachableError, match=url):
        lectern.search("leave")


def test_a_server_that_comes_up_a_moment_later_is_waited_for() -> None:
    port = free_port()
    with Lectern(f"http://127.0.0.1:{port}", KEY) as lectern, ThreadPoolExecutor(1) as pool:
        search = pool.submit(lectern.search, "leave")
        with pytest.raises(TimeoutError):
            search.result(timeout=0.2)  # nobody listens yet
        scripted = Gateway()
        scripted.on("POST", "/api/v1/search", ok({"hits": [hit()]}))
        with serving(scripted, port):
            assert search.result(timeout=20).hits[0].page == 2


def test_an_answer_of_another_programme_is_no_result(gateway: Gateway) -> None:
    gateway.on("GET", "/api/v1/jobs/job-1", Reply(200, [b"<html>It works!</html>"]))
    with connect(gateway) as lectern, pytest.raises(ProtocolError):
        lectern.jobs.get("job-1")


def test_a_refusal_without_a_problem_still_names_its_status(gateway: Gateway) -> None:
    gateway.on("GET", "/api/v1/jobs/job-1", Reply(502, [b"<html>Bad gateway</html>"]))
    with connect(gateway) as lectern, pytest.raises(ApiError) as refused:
        lectern.jobs.get("job-1")
    assert (refused.value.status, refused.value.reason) == (502, "HTTP_502")


def test_a_file_is_uploaded_with_its_fields_and_again_when_the_server_was_busy(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "räder.txt"
    file.write_bytes(b"wheels " * 50_000)
    accepted = ok({**document("räder.txt", "PROCESSING"), "job": job("QUEUED"), "unchanged": False}, 202)
    gateway.on("POST", DOCUMENTS, problem(503, "INGESTOR_UNAVAILABLE", "Away.", retry_after="0"), accepted)
    with connect(gateway) as lectern:
        taken = lectern.documents.upload("handbook", file, external_id="cars/räder.txt", metadata={"team": "cars"})
    assert (taken.id, taken.job.id, taken.unchanged) == ("doc-räder.txt", "job-1", False)
    first, second = gateway.requests
    for request in (first, second):
        assert file.read_bytes() in request.body
        assert "cars/räder.txt".encode() in request.body
        assert b'{"team": "cars"}' in request.body


def test_an_open_file_can_be_uploaded_under_a_name(gateway: Gateway) -> None:
    gateway.on("POST", DOCUMENTS, ok({**document("notes.md"), "job": job(), "unchanged": True}, 201))
    with connect(gateway) as lectern:
        assert lectern.documents.upload("handbook", io.BytesIO(b"# Notes"), name="notes.md", wait=True).unchanged
    (request,) = gateway.requests
    assert request.path.endswith("?wait=true")
    assert b'filename="notes.md"' in request.body


def test_a_batch_is_sent_as_lines_of_json(gateway: Gateway) -> None:
    gateway.on("POST", f"{DOCUMENTS}:batch", ok({"job": job("QUEUED"), "unchanged": 1}, 202))
    entries = [{"id": "a", "text": "Straße"}, {"id": "b", "text": "two\nlines"}]
    with connect(gateway) as lectern:
        assert lectern.documents.create_batch("handbook", entries).unchanged == 1
    (request,) = gateway.requests
    assert request.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in request.body.splitlines()] == entries


def test_a_batch_that_can_be_read_once_is_sent_once(gateway: Gateway) -> None:
    gateway.on("POST", f"{DOCUMENTS}:batch", problem(503, "GATEWAY_BUSY", "Busy.", retry_after="0"))
    with connect(gateway) as lectern, pytest.raises(ApiError):
        lectern.documents.create_batch("handbook", iter([{"text": "x"}]))
    assert len(gateway.requests) == 1


ASK_EVENTS = (
    ("metadata", {"hits": [hit()], "timings_ms": {}, "trace_id": "t"}),
    ("delta", {"text": "Five days\u2028"}),
    ("delta", {"text": " carry over. [1]"}),
    ("citation", citation()),
    ("novelty", {"from": "a newer server"}),
    ("complete", answer()),
)


def test_a_streamed_answer_comes_as_typed_events(gateway: Gateway) -> None:
    gateway.on("POST", "/api/v1/ask", events(*ASK_EVENTS))
    with connect(gateway) as lectern:
        received = list(lectern.ask_stream("How many?", collections=["handbook"]))
    assert [type(event) for event in received] == [AskMetadata, AskDelta, AskDelta, AskCitation, AskComplete]
    assert "".join(event.text for event in received if isinstance(event, AskDelta)) == "Five days\u2028 carry over. [1]"
    assert gateway.requests[0].json == {"question": "How many?", "collections": ["handbook"], "stream": True}


def test_a_streamed_answer_that_fails_raises_what_the_server_says(gateway: Gateway) -> None:
    failure = {"status": 503, "reason": "ANSWER_CUT", "detail": "The answer ended.", "request_id": "req-9"}
    gateway.on("POST", "/api/v1/ask", events(ASK_EVENTS[1], ("error", failure)))
    with connect(gateway) as lectern, pytest.raises(ApiError) as failed:
        list(lectern.ask_stream("How many?"))
    assert (failed.value.reason, failed.value.request_id) == ("ANSWER_CUT", "req-9")


@pytest.mark.parametrize(("cut", "error"), [(False, ProtocolError), (True, UnreachableError)])
def test_a_streamed_answer_never_ends_silently(gateway: Gateway, cut: bool, error: type[Exception]) -> None:
    gateway.on("POST", "/api/v1/ask", events(*ASK_EVENTS[:3], cut=cut))
    with connect(gateway) as lectern, pytest.raises(error):
        list(lectern.ask_stream("How many?"))


def test_watching_a_job_survives_a_stream_that_breaks(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lectern_client.client.WATCH_RECONNECT_SECONDS", 0.01)
    path = "/api/v1/jobs/job-1/events"
    away = events(("error", {"status": 503, "reason": "INGESTOR_UNAVAILABLE", "detail": "Away."}))
    first = Reply(200, [b"id: 7\n", *events(("job", job("RUNNING"))).chunks], {"Content-Type": "text/event-stream"}, cut=True)
    gateway.on("GET", path, first, away, events(("job", job()), ("complete", job())))
    with connect(gateway) as lectern:
        assert [seen.state for seen in lectern.jobs.watch("job-1")] == ["RUNNING", "SUCCEEDED"]
    assert [request.headers.get("last-event-id") for request in gateway.requests] == [None, "7", "7"]


def test_watching_a_job_that_does_not_exist_fails_at_once(gateway: Gateway) -> None:
    gateway.on("GET", "/api/v1/jobs/none/events", problem(404, "JOB_NOT_FOUND", "There is no job 'none'."))
    with connect(gateway) as lectern, pytest.raises(ApiError) as refused:
        lectern.jobs.wait("none")
    assert refused.value.reason == "JOB_NOT_FOUND"
    assert len(gateway.requests) == 1


def test_a_key_is_shown_once_and_stays_out_of_its_repr(gateway: Gateway) -> None:
    made = {"id": "k1", "organisation_id": "o1", "name": "nightly", "prefix": "abc", "role": "member", "key": KEY}
    gateway.on("POST", "/api/v1/api-keys", ok(made, 201))
    gateway.on("DELETE", "/api/v1/api-keys/k1", Reply(204))
    with connect(gateway) as lectern:
        key = lectern.api_keys.create("nightly", role="member")
        assert key.key == KEY
        assert KEY not in repr(key)
        lectern.api_keys.revoke("k1")
    assert gateway.requests[0].json == {"name": "nightly", "role": "member"}


async def test_the_asynchronous_client_does_the_same(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lectern_client.async_client.WATCH_RECONNECT_SECONDS", 0.01)
    (tmp_path / "a.txt").write_bytes(b"hello")
    gateway.on("GET", COLLECTIONS, ok({"items": [collection("a")], "next_page_token": "t"}), ok({"items": [], "next_page_token": None}))
    gateway.on(
        "POST", DOCUMENTS, problem(429, "BUSY", "Busy.", retry_after="0"), ok({**document(), "job": job("QUEUED"), "unchanged": False})
    )
    gateway.on("POST", f"{DOCUMENTS}:batch", ok({"job": job("QUEUED"), "unchanged": 0}, 202))
    gateway.on("GET", "/api/v1/jobs/job-1/events", events(("job", job("RUNNING")), cut=True), events(("job", job())))
    gateway.on("POST", "/api/v1/ask", events(*ASK_EVENTS))
    async with AsyncLectern(gateway.url, KEY) as lectern:
        assert [found.name async for found in lectern.collections.list()] == ["a"]
        assert (await lectern.documents.upload("handbook", tmp_path / "a.txt")).id == "doc-a.txt"
        await lectern.documents.create_batch("handbook", [{"text": "x"}])
        assert (await lectern.jobs.wait("job-1")).state == "SUCCEEDED"
        assert [type(event).__name__ async for event in lectern.ask_stream("?")][-1] == "AskComplete"
    assert b"hello" in gateway.sent("POST", DOCUMENTS)[1].body


def test_both_clients_have_the_same_methods() -> None:
    def methods(client: object) -> dict[str, list[str]]:
        parts = {"": client, **{name: part for name, part in vars(client).items() if not name.startswith("_")}}
        return {name: sorted(method for method in dir(part) if not method.startswith("_")) for name, part in parts.items()}

    assert methods(AsyncLectern()) == methods(Lectern())


def test_a_search_sends_what_was_given_and_nothing_else(gateway: Gateway) -> None:
    def echo(request: Request) -> Reply:
        return ok({"hits": [hit(request.json["query"])], "timings_ms": {}, "trace_id": ""})

    gateway.on("POST", "/api/v1/search", echo)
    with connect(gateway) as lectern:
        assert lectern.search("notice", filter={"type": "pdf"}, literal=True, limit=3).hits[0].text == "notice"
    assert gateway.requests[0].json == {"query": "notice", "filter": {"type": "pdf"}, "limit": 3, "literal": True}
