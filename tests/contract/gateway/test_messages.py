"""Messages: questions that lean on one another, answers that are kept, and streams that end once."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from gateway.server import serve
from gateway.settings import GatewaySettings, Timeouts
from lectern.generator.v1 import generation_pb2 as pb
from shared.errors import AppError, Status
from tests.contract.gateway.back_services import World
from tests.contract.gateway.conftest import OPERATOR_KEY
from tests.contract.gateway.event_reading import all_events, events
from tests.contract.gateway.test_ask import script

TERMINAL = {"complete", "error"}


@pytest.fixture
async def chat(client: httpx.AsyncClient, world: World) -> str:
    """The address of a new chat whose generator answers as `script` has it."""
    script(world)
    return "/api/v1/chats/" + str((await client.post("/api/v1/chats", json={})).json()["id"])


async def said(client: httpx.AsyncClient, chat: str, text: str, **body: Any) -> dict[str, Any]:
    response = await client.post(f"{chat}/messages", json={"text": text, **body})
    assert response.status_code == 201, response.text
    return dict(response.json())


async def messages(client: httpx.AsyncClient, chat: str, **query: Any) -> list[dict[str, Any]]:
    response = await client.get(f"{chat}/messages", params=query)
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


async def until(client: httpx.AsyncClient, address: str, **wanted: Any) -> dict[str, Any]:
    """What stands at ``address`` once it is as ``wanted``."""
    async with asyncio.timeout(30):
        while True:
            found: dict[str, Any] = (await client.get(address)).json()
            if wanted.items() <= found.items():
                return found
            await asyncio.sleep(0.02)  # polls another task of this process


async def test_an_answer_is_kept_with_its_evidence_timings_and_trace(client: httpx.AsyncClient, world: World, chat: str) -> None:
    exchange = await said(client, chat, "How much leave?", collections=[], filter={"type": "pdf"}, language="en")
    question, answer = exchange["question"], exchange["answer"]
    assert (question["role"], question["text"], question["parent_id"], question["state"]) == ("user", "How much leave?", None, "COMPLETE")
    assert question["filter"] == {"type": "pdf"}
    assert (answer["role"], answer["parent_id"], answer["state"]) == ("assistant", question["id"], "COMPLETE")
    assert (answer["text"], answer["model"], answer["finish_reason"]) == ("Thirty days [1].\nNo more é.", "extractive", "STOP")
    (citation,) = answer["citations"]
    assert (citation["document_name"], citation["quote"], citation["available"]) == ("1.pdf", "Text 1", True)
    assert answer["hits"] == ["p0", "p1", "p2"]
    assert {"embed", "search", "answer", "total"} <= set(answer["timings_ms"])
    assert answer["trace_id"] in world.request_ids
    assert await messages(client, chat) == [question, answer]
    assert (await client.get(f"{chat}/messages/{answer['id']}")).json() == answer


async def test_the_next_question_leans_on_the_branch_before_it_and_on_no_other(client: httpx.AsyncClient, world: World, chat: str) -> None:
    first = await said(client, chat, "How much leave?")
    await said(client, chat, "And how many of them carry over?")
    (condensed,) = world.requests["Condense"]
    assert (condensed.question, [turn.text for turn in condensed.history]) == (
        "And how many of them carry over?",
        ["How much leave?", first["answer"]["text"]],
    )
    assert world.requests["Search"][1].query == "How much leave? And how many of them carry over?"
    answered = world.requests["Answer"][1]
    assert (answered.question, len(answered.history)) == ("And how many of them carry over?", 2)
    await said(client, chat, "How much sick leave?", parent=None)
    assert len(world.requests["Answer"][2].history) == 0
    third = await said(client, chat, "And abroad?", parent=first["answer"]["id"])
    assert [turn.text for turn in world.requests["Answer"][3].history] == ["How much leave?", first["answer"]["text"]]
    branch = await messages(client, chat, leaf=third["answer"]["id"])
    assert [message["text"] for message in branch[::2]] == ["How much leave?", "And abroad?"]
    assert len(await messages(client, chat)) == 8


async def test_a_regenerated_answer_stands_beside_the_old_one(client: httpx.AsyncClient, world: World, chat: str) -> None:
    await said(client, chat, "Hello?")
    exchange = await said(client, chat, "How much leave? type:pdf", filter={"language": "en"})
    again = (await client.post(f"{chat}/messages/{exchange['answer']['id']}:regenerate", json={"model": "extractive"})).json()
    assert again["question"] == exchange["question"]
    assert again["answer"]["parent_id"] == exchange["question"]["id"]
    assert again["answer"]["id"] != exchange["answer"]["id"]
    old, new = world.requests["Answer"][1:]
    assert (old.question, list(old.history), new.model) == (new.question, list(new.history), "extractive")
    assert world.requests["Search"][1].filter == world.requests["Search"][2].filter


async def test_the_chat_s_assistant_and_model_answer_unless_the_message_names_another(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    await client.post("/api/v1/assistants", json={"name": "onboarding", "prompt": "Be brief.", "language": "fr"})
    await client.patch("/api/v1/settings", json={"default_model": "extractive"})
    chat = "/api/v1/chats/" + (await client.post("/api/v1/chats", json={"assistant": "onboarding"})).json()["id"]
    await said(client, chat, "How much leave?")
    asked = world.requests["Answer"][0]
    assert (asked.instructions, asked.language, asked.model) == ("Be brief.", "fr", "extractive")


async def test_a_deleted_document_is_gone_from_the_answers_that_cited_it(client: httpx.AsyncClient, world: World, chat: str) -> None:
    answer = (await said(client, chat, "How much leave?"))["answer"]
    del world.passages["p1"]
    for shown in ((await messages(client, chat))[1], (await client.get(f"{chat}/messages/{answer['id']}")).json()):
        (citation,) = shown["citations"]
        assert (citation["available"], citation["document_id"]) == (False, "d1")
        assert (citation["quote"], citation["document_name"], citation["page"], citation["uri"]) == ("", "", None, None)
        assert shown["hits"] == ["p0", "p2"]
    async with client.stream("GET", f"{chat}/messages/{answer['id']}/events") as response:
        assert response.status_code == 200


async def test_a_stream_tells_what_is_kept_and_ends_once(client: httpx.AsyncClient, world: World, chat: str) -> None:
    async with client.stream("POST", f"{chat}/messages", json={"text": "How much leave?", "stream": True}) as response:
        got = await all_events(response)
        location = response.headers["Location"]
    names = [name for name, _ in got if name != "title"]
    assert names == ["metadata", "delta", "delta", "citation", "complete"]
    question, answer = await messages(client, chat)
    assert (got[0][1]["question"], got[0][1]["answer"]["state"]) == (question, "STREAMING")
    assert [hit["passage_id"] for hit in got[0][1]["hits"]] == answer["hits"]
    assert "".join(data["text"] for name, data in got if name == "delta") == answer["text"]
    assert got[-1][1] == answer
    assert location == f"{chat}/messages/{answer['id']}/events"


async def test_the_title_comes_from_the_first_exchange_and_delays_nothing(client: httpx.AsyncClient, world: World, chat: str) -> None:
    world.hold["SuggestTitle"] = asyncio.Event()
    async with client.stream("POST", f"{chat}/messages", json={"text": "How much leave?", "stream": True}) as response:
        assert [name for name, _ in await all_events(response)][-1] == "complete"
    assert (await client.get(chat)).json()["title"] == ""
    world.hold["SuggestTitle"].set()
    await until(client, chat, title="About: How much leave?")
    await said(client, chat, "And abroad?")
    assert len(world.requests["SuggestTitle"]) == 1


async def test_a_title_that_is_there_in_time_is_an_event_before_the_last(client: httpx.AsyncClient, world: World, chat: str) -> None:
    world.answer[0] = pb.AnswerResponse(delta=pb.AnswerDelta(text="Thirty days. " * 30))
    world.hold["Answer"] = asyncio.Event()
    got = []
    async with client.stream("POST", f"{chat}/messages", json={"text": "How much leave?", "stream": True}) as response:
        async for name, data in events(response):
            got.append((name, data))
            if name == "title":
                world.hold["Answer"].set()
    assert ("title", {"title": "About: How much leave?"}) in got
    assert [name for name, _ in got if name in TERMINAL] == [got[-1][0]] == ["complete"]


async def test_a_chat_whose_title_nobody_suggests_is_called_by_its_question(client: httpx.AsyncClient, world: World, chat: str) -> None:
    world.failures["SuggestTitle"] = AppError("ENGINE_CANNOT", Status.UNIMPLEMENTED, "It cannot.")
    await said(client, chat, "How much  leave\ndo I have, " + "and why " * 20)
    await until(client, chat, title="How much leave do I have, and why and why and why and why and why and why and…")


async def test_a_title_that_its_user_gave_stays(client: httpx.AsyncClient, world: World, chat: str) -> None:
    await client.patch(chat, json={"title": "Mine"})
    await said(client, chat, "How much leave?")
    assert world.requests["SuggestTitle"] == []
    assert (await client.get(chat)).json()["title"] == "Mine"


async def test_a_client_that_comes_back_gets_what_it_missed_and_nothing_twice(client: httpx.AsyncClient, world: World, chat: str) -> None:
    world.hold["Answer"] = asyncio.Event()
    async with client.stream("POST", f"{chat}/messages", json={"text": "How much leave?", "stream": True}) as response:
        location = response.headers["Location"]
        seen = []
        async for event in events(response):
            seen.append(event)
            break
    assert seen[0][0] == "metadata"
    world.hold["Answer"].set()
    async with client.stream("GET", location, headers={"Last-Event-ID": "1"}) as response:
        rest = await all_events(response)
    assert [name for name, _ in rest if name != "title"] == ["delta", "delta", "citation", "complete"]
    async with client.stream("GET", location) as response:
        whole = await all_events(response)
    assert whole == [*seen, *rest]
    async with client.stream("GET", location, headers={"Last-Event-ID": "1000"}) as response:
        assert [name for name, _ in await all_events(response)] == ["complete"]
    assert (await client.get(location, headers={"Last-Event-ID": "x"})).status_code == 400


async def test_a_client_that_leaves_and_does_not_come_back_ends_the_work(world: World, settings: GatewaySettings) -> None:
    script(world)
    world.hold["Answer"] = asyncio.Event()
    brief = settings.model_copy(update={"timeouts": Timeouts(resume_seconds=0.2, drain_seconds=1)})
    async with serve(brief) as gateway, httpx.AsyncClient(base_url=gateway.url, headers=as_operator(), timeout=20) as client:
        chat = "/api/v1/chats/" + (await client.post("/api/v1/chats", json={})).json()["id"]
        async with client.stream("POST", f"{chat}/messages", json={"text": "How much leave?", "stream": True}) as response:
            async for name, _ in events(response):
                if name == "delta":
                    break
        await asyncio.wait_for(world.cancelled.wait(), 20)
        answer_id = (await messages(client, chat))[1]["id"]
        answer = await until(client, f"{chat}/messages/{answer_id}", state="STOPPED")
    assert (answer["text"], answer["reason"]) == ("Thirty days", "CLIENT_LEFT")


async def test_stopping_keeps_what_was_written_and_ends_the_stream(client: httpx.AsyncClient, world: World, chat: str) -> None:
    world.hold["Answer"] = asyncio.Event()
    async with client.stream("POST", f"{chat}/messages", json={"text": "How much leave?", "stream": True}) as response:
        got = []
        async for name, data in events(response):
            got.append((name, data))
            if name == "delta":
                stopped = (await client.post(f"{chat}/messages/{got[0][1]['answer']['id']}:stop")).json()
    assert (stopped["state"], stopped["reason"], stopped["text"]) == ("STOPPED", "STOPPED_BY_USER", "Thirty days")
    assert got[-1] == ("complete", stopped)
    assert world.cancelled.is_set()
    assert (await client.post(f"{chat}/messages/{stopped['id']}:stop")).json() == stopped


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_that_fails_is_kept_with_its_reason(client: httpx.AsyncClient, world: World, chat: str, streamed: bool) -> None:
    world.cut_after["Answer"] = 1
    response = await client.post(f"{chat}/messages", json={"text": "How much leave?", "stream": streamed})
    question, answer = await messages(client, chat)
    assert (question["text"], answer["state"], answer["reason"]) == ("How much leave?", "FAILED", "GENERATOR_UNAVAILABLE")
    assert answer["text"] == "Thirty days"
    if streamed:
        assert [line for line in response.text.splitlines() if line.startswith("event: ") and line[7:] in TERMINAL] == ["event: error"]
    else:
        problem = response.json()
        assert (response.status_code, problem["reason"]) == (503, "GENERATOR_UNAVAILABLE")
        assert problem["metadata"]["message_id"] == answer["id"]
    del world.cut_after["Answer"]
    async with client.stream("GET", f"{chat}/messages/{answer['id']}/events", headers={"Last-Event-ID": "900"}) as again:
        assert [(name, data["reason"]) for name, data in await all_events(again)] == [("error", "GENERATOR_UNAVAILABLE")]
    await said(client, chat, "And now?")
    assert list(world.requests["Answer"][-1].history) == []


async def test_a_generator_that_cites_what_it_was_not_given_is_not_believed(client: httpx.AsyncClient, world: World, chat: str) -> None:
    world.answer[1:1] = [
        pb.AnswerResponse(delta=pb.AnswerDelta(text=" and\0 more")),
        pb.AnswerResponse(citation=pb.Citation(marker=7, passage_id="p9", quote="Secret", start=0, end=6)),
        pb.AnswerResponse(citation=pb.Citation(marker=8, passage_id="p1", quote="never written", start=0, end=6)),
    ]
    answer = (await said(client, chat, "How much leave?"))["answer"]
    assert [citation["marker"] for citation in answer["citations"]] == [1]
    assert answer["text"] == "Thirty days and more [1].\nNo more é."
    assert (await messages(client, chat))[1] == answer


async def test_a_generator_without_end_is_ended(client: httpx.AsyncClient, world: World, chat: str) -> None:
    world.answer = [pb.AnswerResponse(delta=pb.AnswerDelta(text="x" * 50_000))] * 20
    refused = await client.post(f"{chat}/messages", json={"text": "How much leave?"})
    assert (refused.status_code, refused.json()["reason"]) == (429, "ANSWER_TOO_LONG")
    assert (await messages(client, chat))[1]["state"] == "FAILED"


async def test_wrong_places_are_refused_and_nothing_is_stored(client: httpx.AsyncClient, world: World, chat: str) -> None:
    exchange = await said(client, chat, "How much leave?")
    question, answer = exchange["question"]["id"], exchange["answer"]["id"]
    post = f"{chat}/messages"
    for body, status, reason in (
        ({"text": "x", "parent": question}, 409, "NOT_AN_ANSWER"),
        ({"text": "x", "parent": "msg_none"}, 404, "MESSAGE_NOT_FOUND"),
        ({"text": "autor:ann"}, 400, "UNKNOWN_FILTER_FIELD"),
        ({"text": " "}, 400, "INVALID_REQUEST"),
        ({"text": "x", "filter": {"nonsense": 1}}, 400, "UNKNOWN_FILTER_FIELD"),
    ):
        refused = await client.post(post, json=body)
        assert (refused.status_code, refused.json()["reason"]) == (status, reason), body
    for path in (f"{post}/{question}:regenerate", f"{post}/{question}:stop"):
        assert (await client.post(path, json={} if "regenerate" in path else None)).json()["reason"] == "NOT_AN_ANSWER", path
    kept = {"Idempotency-Key": "k"}
    refused = await client.post(post, json={"text": "x", "stream": True}, headers=kept)
    assert (refused.status_code, refused.json()["reason"]) == (400, "IDEMPOTENCY_KEY_ON_STREAM")
    other = "/api/v1/chats/" + (await client.post("/api/v1/chats", json={})).json()["id"]
    assert (await client.get(f"{other}/messages/{answer}")).status_code == 404
    assert (await client.get(f"{other}/messages", params={"leaf": answer})).status_code == 404
    assert (await client.post(f"{other}/messages", json={"text": "x", "parent": answer})).json()["reason"] == "MESSAGE_NOT_FOUND"
    assert len(await messages(client, chat)) == 2
    assert await messages(client, other) == []


async def test_a_question_sent_twice_is_asked_once(client: httpx.AsyncClient, chat: str) -> None:
    twice = [await client.post(f"{chat}/messages", json={"text": "How much leave?"}, headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert twice[0].json() == twice[1].json()
    assert len(await messages(client, chat)) == 2


async def test_nothing_follows_an_answer_that_is_still_written(client: httpx.AsyncClient, world: World, chat: str) -> None:
    world.hold["Answer"] = asyncio.Event()
    asking = asyncio.create_task(client.post(f"{chat}/messages", json={"text": "How much leave?"}))
    await asyncio.wait_for(world.held.wait(), 20)
    refused = await client.post(f"{chat}/messages", json={"text": "And abroad?"})
    assert (refused.status_code, refused.json()["reason"]) == (409, "ANSWER_IN_WORK")
    world.hold["Answer"].set()
    assert (await asking).status_code == 201


async def test_feedback_is_kept_and_replaced(client: httpx.AsyncClient, chat: str) -> None:
    exchange = await said(client, chat, "How much leave?")
    address = f"{chat}/messages/{exchange['answer']['id']}/feedback"
    assert (await client.put(address, json={"rating": "up"})).json()["feedback"] == {"rating": "up", "comment": ""}
    await client.put(address, json={"rating": "down", "comment": "Last year's rule."})
    assert (await messages(client, chat))[1]["feedback"] == {"rating": "down", "comment": "Last year's rule."}
    refused = await client.put(f"{chat}/messages/{exchange['question']['id']}/feedback", json={"rating": "up"})
    assert refused.json()["reason"] == "NOT_AN_ANSWER"
    assert (await client.put(address, json={"rating": "great"})).status_code == 400


async def test_the_tree_is_listed_page_by_page(client: httpx.AsyncClient, chat: str) -> None:
    for text in ("one?", "two?", "three?"):
        await said(client, chat, text)
    whole = await messages(client, chat)
    for query in ({}, {"leaf": whole[-1]["id"]}):
        listed: list[dict[str, Any]] = []
        token = ""
        while True:
            page = (await client.get(f"{chat}/messages", params={"page_size": 4, "page_token": token, **query})).json()
            listed += page["items"]
            token = page["next_page_token"]
            if not token:
                break
        assert listed == whole


async def test_deleting_a_chat_ends_what_is_written_in_it(client: httpx.AsyncClient, world: World, chat: str) -> None:
    world.hold["Answer"] = asyncio.Event()
    async with client.stream("POST", f"{chat}/messages", json={"text": "How much leave?", "stream": True}) as response:
        got = []
        async for name, data in events(response):
            got.append((name, data))
            if name == "delta":
                assert (await client.delete(chat)).status_code == 204
    assert (got[-1][0], got[-1][1]["reason"]) == ("error", "CHAT_NOT_FOUND")
    assert world.cancelled.is_set()


def as_operator() -> dict[str, str]:
    return {"Authorization": f"Bearer {OPERATOR_KEY}"}
