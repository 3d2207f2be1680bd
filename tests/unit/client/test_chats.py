"""Chats through the library and the command: streams that are taken up where they broke, and a conversation at a terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from lectern_client import ApiError, AsyncLectern, Lectern, ProtocolError, RetryPolicy
from lectern_client.models import AnswerMetadata, AskDelta, ChatTitle, Message, MessageCitation
from tests.unit.client.conftest import KEY, Gateway, Reply, citation, hit, message, ok, problem
from tests.unit.client.test_cli import Ran, lectern

__all__ = ["lectern"]
POST = "/api/v1/chats/chat-1/messages"
EVENTS = "/api/v1/chats/chat-1/messages/msg-2/events"
METADATA = ("metadata", {"question": message("user", "How many?"), "answer": message(state="STREAMING", text=""), "hits": [hit()]})
DELTAS = [("delta", {"text": "Five days "}), ("delta", {"text": "carry over. [1]"})]
REST = [("citation", {**citation(), "available": True}), ("title", {"title": "Leave"}), ("complete", message())]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("chats", "async_chats"):
        monkeypatch.setattr(f"lectern_client.{module}.WATCH_RECONNECT_SECONDS", 0.0)


def numbered(*named: tuple[str, Any], first: int = 1, cut: bool = False) -> Reply:
    """Events with the ids that the gateway gives them."""
    chunks = [f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode() for number, (name, data) in enumerate(named, first)]
    return Reply(200, chunks, {"Content-Type": "text/event-stream"}, cut)


@pytest.fixture
def client(gateway: Gateway) -> Lectern:
    return Lectern(gateway.url, KEY, retries=RetryPolicy(0))


@pytest.mark.parametrize("cut", [False, True])
def test_a_stream_that_breaks_is_taken_up_where_it_broke(gateway: Gateway, client: Lectern, cut: bool) -> None:
    gateway.on("POST", POST, numbered(METADATA, DELTAS[0], cut=cut))
    gateway.on("GET", EVENTS, problem(503, "GATEWAY_BUSY", "Later."), numbered(DELTAS[1], *REST, first=3))
    with client:
        events = list(client.chats.stream("chat-1", "How many?", collections=["handbook"]))
    assert [type(event) for event in events] == [AnswerMetadata, AskDelta, AskDelta, MessageCitation, ChatTitle, Message]
    assert gateway.requests[0].json == {"text": "How many?", "collections": ["handbook"], "stream": True}
    assert [request.headers["last-event-id"] for request in gateway.sent("GET", EVENTS)] == ["2", "2"]


async def test_an_asynchronous_stream_is_taken_up_too(gateway: Gateway) -> None:
    gateway.on("POST", POST, numbered(METADATA, *DELTAS, cut=True))
    gateway.on("GET", EVENTS, numbered(*REST, first=4))
    async with AsyncLectern(gateway.url, KEY, retries=RetryPolicy(0)) as client:
        events = [event async for event in client.chats.stream("chat-1", "How many?", parent=None)]
    assert isinstance(events[-1], Message)
    assert len(events) == 6
    assert gateway.requests[0].json == {"text": "How many?", "parent": None, "stream": True}


def test_an_answer_that_failed_is_an_error_and_is_not_asked_for_again(gateway: Gateway, client: Lectern) -> None:
    failed = {"status": 503, "reason": "GENERATOR_UNAVAILABLE", "detail": "It does not answer.", "metadata": {"message_id": "msg-2"}}
    gateway.on("POST", POST, numbered(METADATA, ("error", failed)))
    with client, pytest.raises(ApiError) as raised:
        list(client.chats.stream("chat-1", "How many?"))
    assert raised.value.reason == "GENERATOR_UNAVAILABLE"
    assert gateway.sent("GET", EVENTS) == []


def test_a_stream_that_ends_before_its_answer_is_known_is_no_answer(gateway: Gateway, client: Lectern) -> None:
    gateway.on("POST", POST, numbered())
    with client, pytest.raises(ProtocolError):
        list(client.chats.stream("chat-1", "How many?"))


def test_one_message_is_said_and_answered_with_its_sources(gateway: Gateway, lectern: Callable[..., Ran]) -> None:
    gateway.on("POST", "/api/v1/chats", ok({"id": "chat-1", "title": ""}, 201))
    gateway.on("POST", POST, ok({"question": message("user", "How many?"), "answer": message()}, 201))
    ran = lectern("chat", "-m", "How many?", "--assistant", "onboarding", "-c", "handbook")
    assert ran.out.splitlines() == ["Five days carry over. [1]", "", "[1] handbook.pdf, page 2: “Five days carry over.”"]
    assert "lectern chat --chat chat-1" in ran.err
    assert [request.json for request in gateway.requests] == [
        {"assistant": "onboarding"},
        {"text": "How many?", "collections": ["handbook"]},
    ]
    gateway.on("GET", "/api/v1/chats/chat-1", ok({"id": "chat-1", "title": ""}))
    again = lectern("chat", "--chat", "chat-1", "-m", "How many?", "--json")
    assert (again.json["answer"]["id"], again.err) == ("msg-2", "")


def test_without_a_terminal_there_must_be_a_message(gateway: Gateway, lectern: Callable[..., Ran]) -> None:
    ran = lectern("chat")
    assert (ran.code, gateway.requests) == (2, [])
    assert "--message" in ran.err


def test_at_a_terminal_questions_follow_one_another_and_can_be_answered_again(
    gateway: Gateway, lectern: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    gateway.on("POST", "/api/v1/chats", ok({"id": "chat-1", "title": ""}, 201))
    gateway.on("POST", POST, numbered(METADATA, *DELTAS, *REST), problem(409, "ANSWER_IN_WORK", "Wait for its end."))
    gateway.on("POST", "/api/v1/chats/chat-1/messages/msg-2:regenerate", numbered(METADATA, *DELTAS, *REST))
    monkeypatch.setattr("sys.stdin", Terminal("How many?\n\n/again\nAnd now?\n"))
    ran = lectern("chat")
    assert ran.code == 0
    assert ran.out.count("Five days carry over. [1]\n\n[1] handbook.pdf, page 2") == 2
    assert "Wait for its end." in ran.err
