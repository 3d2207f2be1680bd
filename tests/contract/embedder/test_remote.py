"""A remote model before a server on a socket that does what servers do on bad days."""

from __future__ import annotations

import asyncio
import email.utils
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from embedder.adapters.remote.back_end import Address
from embedder.adapters.remote.model import RemoteModel, RemoteModelError, RemoteUse
from embedder.adapters.transformers.checkpoint import CheckpointError
from embedder.domain import remote_line
from embedder.domain.batcher import Batcher
from embedder.domain.batching import BatchLimits, Lane
from embedder.domain.embedding import EmbeddedTexts, Model, ModelState, TextEmbedder, Urgency
from embedder.domain.encoding import EncoderSpec, Task
from embedder.domain.registry import ModelRegistry
from shared.errors import AppError
from tests.contract.embedder.embeddings_server import EmbeddingsServer, Exchange, cut, good, hold, serving, status, vector
from tests.unit.embedder.scripted import Ledger

SECRET = "sk-a-key-of-the-tests"
LONGEST_SECONDS = 20.0


class States:
    """Hears of a model's states, and lets a test wait for one."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self.state = ModelState.UNLOADED
        self.failure = ""

    async def model_changed(self, model: Model) -> None:
        async with self._changed:
            self.state, self.failure = model.state, model.failure
            self._changed.notify_all()

    async def until(self, state: ModelState) -> None:
        async with asyncio.timeout(LONGEST_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self.state is state)


@pytest.fixture
def server() -> Iterator[EmbeddingsServer]:
    with serving() as started:
        yield started


def remote(
    url: str, *, dimension: int | None = None, requests: int = 2, request_seconds: float = 10.0, window: int = 32, batch_texts: int = 4
) -> RemoteModel:
    limits = BatchLimits(256, 1024, queue_tokens=100_000, batch_texts=batch_texts)
    address = Address("far", url, SECRET, "their-model", request_seconds)
    use = RemoteUse(dimension=dimension, max_length_tokens=window, tokenizer=None, requests=requests, prefixes={Task.QUERY: "query: "})
    return RemoteModel(address, use, lambda: Batcher(limits, Ledger()), ThreadPoolExecutor(1))


@asynccontextmanager
async def running(source: RemoteModel) -> AsyncIterator[tuple[TextEmbedder, States]]:
    states = States()
    models = ModelRegistry([source], states, budget_bytes=0)
    embedder = await models.prepare_current()
    try:
        await models.load_current()
        yield embedder, states
    finally:
        await models.close()


async def embed(
    embedder: TextEmbedder, texts: list[str], *, lane: Lane = Lane.BULK, seconds_left: float | None = None, organisation: str = "org"
) -> EmbeddedTexts:
    return await embedder.embed(texts, Task.PASSAGE, organisation, Urgency(lane, seconds_left))


def names(count: int, of: str = "text") -> list[str]:
    return [f"{of} {number}" for number in range(count)]


def assert_own_vectors(embedded: EmbeddedTexts, texts: list[str]) -> None:
    np.testing.assert_allclose(embedded.matrix(), [vector(text) for text in texts], atol=1e-6)


async def test_many_callers_texts_each_get_their_own_vector_and_are_sent_once(server: EmbeddingsServer) -> None:
    async with running(remote(server.url)) as (embedder, _):
        calls = [names(9, f"caller {number}") for number in range(6)]
        lanes = [Lane.BULK, Lane.INTERACTIVE] * 3
        replies = await asyncio.gather(*(embed(embedder, texts, lane=lane) for texts, lane in zip(calls, lanes, strict=True)))
    for texts, reply in zip(calls, replies, strict=True):
        assert_own_vectors(reply, texts)
        assert {server.answered[text] for text in texts} == {1}
    assert max(len(request.texts) for request in server.seen) == 4
    request = server.seen[-1]
    assert (request.body["model"], request.body["encoding_format"]) == ("their-model", "base64")
    assert {name.lower(): value for name, value in request.headers.items()}["authorization"] == f"Bearer {SECRET}"


async def test_a_storm_of_429_pauses_everybody_as_long_as_asked_and_loses_nothing(server: EmbeddingsServer) -> None:
    async with running(remote(server.url, requests=1)) as (embedder, states):
        probes = len(server.seen)
        server.script.extend([status(429, retry_after="1"), good, status(429, retry_after="1"), good])
        bulk, query = names(16), names(3, "query")
        replies = await asyncio.gather(embed(embedder, bulk), embed(embedder, query, lane=Lane.INTERACTIVE, organisation="other"))
        assert states.state is ModelState.READY
    assert_own_vectors(replies[0], bulk)
    assert_own_vectors(replies[1], query)
    assert {server.answered[text] for text in bulk + query} == {1}
    times = [request.at for request in server.seen[probes:]]
    assert times[1] - times[0] >= 1
    assert times[3] - times[2] >= 1


async def test_what_is_urgent_overtakes_what_was_put_off(server: EmbeddingsServer) -> None:
    async with running(remote(server.url, requests=1, batch_texts=2)) as (embedder, _):
        server.script.append(status(429, retry_after="1"))
        probes = len(server.seen)
        bulk = asyncio.create_task(embed(embedder, names(6)))
        await wait_for_requests(server, probes + 1)
        query = await embed(embedder, ["urgent"], lane=Lane.INTERACTIVE)
        assert_own_vectors(query, ["urgent"])
        assert_own_vectors(await bulk, names(6))
    assert server.seen[probes + 1].texts == ["urgent"]


async def test_a_date_to_come_back_at_is_kept(server: EmbeddingsServer) -> None:
    async with running(remote(server.url, requests=1)) as (embedder, _):
        date = int(time.time()) + 2
        server.script.append(status(503, retry_after=email.utils.formatdate(date, usegmt=True)))
        assert_own_vectors(await embed(embedder, ["one"]), ["one"])
    assert server.seen[-1].at >= date - 0.01


async def test_cut_connections_and_failures_are_tried_again_without_doubling_a_text(server: EmbeddingsServer) -> None:
    async with running(remote(server.url)) as (embedder, states):
        server.script.extend([cut, cut, status(500), status(503), cut])
        texts = names(20)
        assert_own_vectors(await embed(embedder, texts), texts)
        assert states.state is ModelState.READY
    assert {server.answered[text] for text in texts} == {1}


async def test_vectors_go_to_the_texts_that_their_index_names(server: EmbeddingsServer) -> None:
    async with running(remote(server.url)) as (embedder, _):
        server.always = lambda exchange: exchange.reply(exchange.rows()[::-1])
        texts = names(11)
        assert_own_vectors(await embed(embedder, texts), texts)


def loses_poison(exchange: Exchange) -> None:
    """Leave out the rows of texts that hold the word; a client that counted by position would be wrong about all that follow."""
    exchange.reply([row for row, text in zip(exchange.rows(), exchange.texts, strict=True) if "poison" not in text])


def refuses_poison(exchange: Exchange) -> None:
    (status(400) if any("poison" in text for text in exchange.texts) else good)(exchange)


def twice_poison(exchange: Exchange) -> None:
    rows = exchange.rows()
    if any("poison" in text for text in exchange.texts):
        rows.append({"index": 0, "embedding": vector("nobody's")})
    exchange.reply(rows)


@pytest.mark.parametrize("answer", [loses_poison, refuses_poison, twice_poison])
async def test_a_text_that_the_server_cannot_answer_fails_alone(server: EmbeddingsServer, answer: Any) -> None:
    async with running(remote(server.url)) as (embedder, states):
        server.always = answer
        reply = await embed(embedder, ["a", "b", "poison", "c"])
        assert {at: row.reason for at, row in enumerate(reply.rows) if isinstance(row, AppError)} == {2: "ENCODING_FAILED"}
        for row, text in zip(reply.rows, ["a", "b", "poison", "c"], strict=True):
            if not isinstance(row, AppError):
                np.testing.assert_allclose(row, vector(text), atol=1e-6)
        assert states.state is ModelState.READY


@pytest.mark.parametrize(("element", "reason"), [(float("nan"), "VECTOR_NOT_FINITE"), (float("inf"), "VECTOR_NOT_FINITE")])
async def test_a_vector_that_is_not_finite_is_refused_and_its_neighbours_served(
    server: EmbeddingsServer, element: float, reason: str
) -> None:
    def spoiled(exchange: Exchange) -> None:
        rows = exchange.rows()
        rows[1]["embedding"][0] = element
        exchange.reply(rows)

    async with running(remote(server.url)) as (embedder, _):
        server.script.append(spoiled)
        rows = (await embed(embedder, ["a", "b", "c"])).rows
    (bad,) = (row for row in rows if isinstance(row, AppError))
    assert bad.reason == reason


@pytest.mark.parametrize(
    ("code", "fix"), [(401, "api_key"), (403, "api_key"), (404, "remote_model"), (307, "not followed"), (308, "not followed")]
)
async def test_a_refusal_is_told_at_once_with_its_fix_and_ends_when_it_is_mended(
    server: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch, code: int, fix: str
) -> None:
    monkeypatch.setattr(remote_line, "_REFUSED_PAUSE_SECONDS", 0.5)
    async with running(remote(server.url, requests=1)) as (embedder, states):
        probes = len(server.seen)
        with serving() as elsewhere:
            server.always = status(code, location=elsewhere.url)
            rows = (await embed(embedder, ["a", "b"])).rows
            assert {row.reason for row in rows if isinstance(row, AppError)} == {"REMOTE_MODEL_REFUSED"}
            assert [request.texts for request in server.seen[probes:]] == [["a", "b"]]
            assert (states.state, fix in states.failure, str(code) in states.failure) == (ModelState.FAILED, True, True)
            with pytest.raises(AppError, match="REMOTE_MODEL_REFUSED") as refused:
                await embed(embedder, ["c"])
            assert refused.value.retry_after_seconds
            assert not elsewhere.seen
        server.always = None
        await states.until(ModelState.READY)
        assert_own_vectors(await embed(embedder, ["c"]), ["c"])
    assert server.answered["a"] == 0


async def test_a_slow_reply_ends_the_call_at_its_deadline_and_frees_the_connection(server: EmbeddingsServer) -> None:
    async with running(remote(server.url)) as (embedder, _):
        server.script.append(hold)
        rows = (await embed(embedder, ["late"], seconds_left=0.5)).rows
        assert isinstance(rows[0], AppError)
        assert rows[0].reason == "DEADLINE_PASSED_IN_QUEUE"
        assert await asyncio.to_thread(server.left.wait, LONGEST_SECONDS)
        assert_own_vectors(await embed(embedder, ["next"]), ["next"])


async def test_a_pause_longer_than_a_deadline_does_not_outlast_it(server: EmbeddingsServer) -> None:
    async with running(remote(server.url)) as (embedder, _):
        server.script.append(status(429, retry_after="60"))
        began = time.monotonic()
        rows = (await embed(embedder, ["late"], seconds_left=1.0)).rows
        assert isinstance(rows[0], AppError)
        assert rows[0].reason == "DEADLINE_PASSED_IN_QUEUE"
        assert time.monotonic() - began < 10


async def test_a_caller_who_leaves_frees_the_connection(server: EmbeddingsServer) -> None:
    async with running(remote(server.url, requests=1)) as (embedder, _):
        server.script.append(hold)
        call = asyncio.create_task(embed(embedder, ["left"]))
        assert await asyncio.to_thread(server.held.wait, LONGEST_SECONDS)
        call.cancel()
        assert await asyncio.to_thread(server.left.wait, LONGEST_SECONDS)
        assert_own_vectors(await embed(embedder, ["next"]), ["next"])


async def test_a_reply_that_never_comes_is_given_up_and_asked_for_again(server: EmbeddingsServer) -> None:
    async with running(remote(server.url, request_seconds=0.5)) as (embedder, _):
        server.script.append(hold)
        assert_own_vectors(await embed(embedder, ["one"]), ["one"])


async def test_a_change_of_dimension_is_noticed_and_nothing_of_it_given_out(
    server: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_line, "_REFUSED_PAUSE_SECONDS", 0.2)
    async with running(remote(server.url)) as (embedder, states):
        server.dimension = 4
        rows = (await embed(embedder, ["a"])).rows
        assert isinstance(rows[0], AppError)
        assert rows[0].reason == "REMOTE_MODEL_CHANGED"
        assert states.state is ModelState.FAILED
        server.dimension = 3
        await states.until(ModelState.READY)
        assert_own_vectors(await embed(embedder, ["a"]), ["a"])


async def test_a_server_that_is_gone_makes_the_model_failed_until_it_is_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_line, "_OUTAGE_SECONDS", 0.5)
    monkeypatch.setattr(remote_line, "_LONGEST_PAUSE_SECONDS", 0.5)
    with serving() as server:
        source = remote(server.url)
        async with running(source) as (embedder, states):
            server.stop()
            rows = (await embed(embedder, ["a"])).rows
            assert {row.reason for row in rows if isinstance(row, AppError)} == {"REMOTE_MODEL_UNREACHABLE"}
            assert states.state is ModelState.FAILED
            with serving(server.port):
                await states.until(ModelState.READY)
                assert_own_vectors(await embed(embedder, ["a"]), ["a"])


async def test_a_pause_too_long_to_wait_out_is_told_to_the_callers(server: EmbeddingsServer) -> None:
    async with running(remote(server.url)) as (embedder, states):
        server.script.append(status(429, retry_after="3600"))
        (row,) = (await embed(embedder, ["a"])).rows
        assert isinstance(row, AppError)
        assert (row.reason, row.retry_after_seconds) == ("REMOTE_MODEL_BUSY", 3600)
        assert states.state is ModelState.FAILED


async def test_a_server_without_base64_is_asked_for_numbers(server: EmbeddingsServer) -> None:
    server.always = lambda exchange: (status(400) if "encoding_format" in exchange.body else good)(exchange)
    async with running(remote(server.url)) as (embedder, _):
        assert_own_vectors(await embed(embedder, names(5)), names(5))


async def test_a_server_that_ignores_the_wish_for_base64_is_understood(server: EmbeddingsServer) -> None:
    def numbers(exchange: Exchange) -> None:
        exchange.status(200, body={"data": exchange.rows()})

    server.always = numbers
    async with running(remote(server.url)) as (embedder, _):
        assert_own_vectors(await embed(embedder, names(5)), names(5))


async def test_another_dimension_than_the_settings_say_stops_the_load(server: EmbeddingsServer) -> None:
    with pytest.raises(RemoteModelError, match="answers with 3 elements, not 4"):
        await asyncio.to_thread(remote(server.url, dimension=4).describe)


async def test_long_texts_are_cut_and_tokens_located_and_counted(server: EmbeddingsServer) -> None:
    async with running(remote(server.url, window=16)) as (embedder, _):
        await embedder.embed(["word " * 100], Task.QUERY, "org", Urgency(Lane.BULK))
        (starts,) = await embedder.locate_tokens(["☕ one two"])
        with pytest.raises(AppError, match="TOKEN_SEQUENCES_NOT_TAKEN"):
            await embedder.embed_tokens([[1, 2]], "org", Urgency(Lane.BULK))
    assert server.seen[-1].texts == ["query: " + " ".join(["word"] * 12)]
    assert starts.tolist() == [0, 2, 6]


async def test_the_key_stands_in_no_log_line_and_no_message(server: EmbeddingsServer) -> None:
    server.always = status(401)
    with structlog.testing.capture_logs() as lines, pytest.raises(RemoteModelError) as refused:
        await asyncio.to_thread(remote(server.url).describe)
    assert SECRET not in f"{lines} {refused.value} {remote(server.url)!r} {Address('a', server.url, SECRET, 'm', 1)!r}"


async def test_a_missing_tokenizer_is_named(server: EmbeddingsServer, tmp_path: Path) -> None:
    address = Address("far", server.url, "", "m", 5)
    use = RemoteUse(dimension=None, max_length_tokens=32, tokenizer=tmp_path / "tokenizer.json", requests=1, prefixes={})
    source = RemoteModel(address, use, lambda: Batcher(BatchLimits(), Ledger()), ThreadPoolExecutor(1))
    with pytest.raises(CheckpointError, match=r"There is no tokenizer .*tokenizer\.json"):
        source.prepare(Model(EncoderSpec("far", "1", 3, 32, normalised=True), "remote"))


async def wait_for_requests(server: EmbeddingsServer, count: int) -> None:
    async with asyncio.timeout(LONGEST_SECONDS):
        while len(server.seen) < count:
            await asyncio.to_thread(threading.Event().wait, 0.01)  # the server is on another thread and cannot wake us
