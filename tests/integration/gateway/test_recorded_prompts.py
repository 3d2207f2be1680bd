"""What an assistant, its model at an organisation's own provider, and the passages make of a prompt: recorded at the provider's end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import openai
import pytest

import gateway.server
import generator.server
from gateway.migrations import FOLDER, SCHEMA
from gateway.settings import GatewaySettings
from generator.settings import GeneratorSettings
from shared.migrations import Migrations
from shared.rpc.caller_signing import CallerSigner
from shared.settings import load
from tests.contract.gateway.back_services import World, start
from tests.contract.gateway.test_search import fill
from tests.contract.generator.endpoint import Endpoint, running_endpoint

INTERNAL_KEY = "a key that only this test knows, and long enough"
OPERATOR_KEY = "lk_operator1_" + "s" * 40
HEADERS = {"Authorization": f"Bearer {OPERATOR_KEY}"}


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
async def url(database_url: str, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A real gateway and a real generator; embedder and ingestor hold three passages."""
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    world = World()
    fill(world, 3)
    monkeypatch.setenv("LECTERN_INTERNAL_KEY", INTERNAL_KEY)
    monkeypatch.setenv("LECTERN_GENERATOR_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("LECTERN_GENERATOR_ENDPOINTS__ALLOWED_NETWORKS", '["127.0.0.0/8"]')
    async with AsyncExitStack() as stack:
        back = await start(world, CallerSigner(INTERNAL_KEY.encode()))
        stack.push_async_callback(back.stop, grace_seconds=0)
        answering = await stack.enter_async_context(generator.server.serve(load(GeneratorSettings)))
        for name, value in {
            "DATABASE_URL": database_url,
            "LISTEN": "127.0.0.1:0",
            "INGESTOR_TARGET": f"127.0.0.1:{back.port}",
            "EMBEDDER_TARGET": f"127.0.0.1:{back.port}",
            "GENERATOR_TARGET": f"127.0.0.1:{answering.port}",
            "BOOTSTRAP_API_KEY": OPERATOR_KEY,
        }.items():
            monkeypatch.setenv(f"LECTERN_GATEWAY_{name}", value)
        running = await stack.enter_async_context(gateway.server.serve(load(GatewaySettings)))
        yield running.url


async def test_the_prompt_has_rules_then_the_assistants_then_the_conversation_then_passages_and_question(
    url: str, endpoint: Endpoint
) -> None:
    endpoint.says("How much leave is there in the second document?")  # the question, to be searched without the conversation
    endpoint.says("Text 1 stands there", " [2].")
    async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=60) as client:
        provider = {"name": "acme", "base_url": endpoint.base_url, "key": "sk-recorded-0123456789", "models": [{"name": "large"}]}
        assert (await client.post("/api/v1/providers", json=provider)).status_code == 201
        assistant = {"name": "tutor", "prompt": "Speak like a patient teacher.", "model": "acme/large", "language": "fr"}
        assert (await client.post("/api/v1/assistants", json=assistant)).status_code == 201
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=OPERATOR_KEY, max_retries=0, timeout=60) as chat:
        reply = await chat.chat.completions.create(
            model="tutor",
            messages=[
                {"role": "system", "content": "Never mention prices."},
                {"role": "user", "content": "What does the second document hold?"},
                {"role": "assistant", "content": "Leave, it seems."},
                {"role": "user", "content": "How much leave does the second document say there is?"},
            ],
        )
    assert reply.choices[0].message.content == "Text 1 stands there [2]."
    assert reply.model_extra
    assert [citation["passage_id"] for citation in reply.model_extra["citations"]] == ["p1"]

    asked = endpoint.requests[-1]
    assert (asked["model"], endpoint.authorizations[-1]) == ("large", "Bearer sk-recorded-0123456789")
    prompt = "\n".join(message["content"] for message in asked["messages"])
    assert [message["role"] for message in asked["messages"]] == ["system", "user", "assistant", "user"]
    in_order = [
        "<passages>",
        "Speak like a patient teacher.",
        "Never mention prices.",
        "What does the second document hold?",
        "Leave, it seems.",
        "Text 0.",
        "Text 1.",
        "How much leave does the second document say there is?",
    ]
    places = [prompt.find(part) for part in in_order]
    assert -1 not in places, list(zip(in_order, places, strict=True))
    assert places[1:] == sorted(places[1:])
    assert OPERATOR_KEY not in prompt
