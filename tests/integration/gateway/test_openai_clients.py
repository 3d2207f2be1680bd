"""OpenAI's own client, unmodified, before the real gateway and the real embedder."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import numpy as np
import openai
import pytest

from gateway.migrations import FOLDER, SCHEMA
from gateway.server import RunningGateway, serve
from gateway.settings import GatewaySettings
from generator.server import serve as serve_generator
from generator.settings import GeneratorSettings
from shared.migrations import Migrations
from shared.settings import load
from tests.contract.embedder.process import EMBEDDING_SERVICE, EmbedderProcess

KEY = "lk_operator1_" + "s" * 40
INVOICE = "The invoice must be paid within thirty days of delivery."
PARAPHRASE = "Payment of the bill is due one month after the goods arrive."
PLANTS = "Photosynthesis lets green plants turn sunlight into sugar."
# [CLS] hello world [SEP] in MiniLM's vocabulary.
HELLO_WORLD = [101, 7592, 2088, 102]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbedderProcess]:
    started = EmbedderProcess(tmp_path_factory.mktemp("embedder"), "http://127.0.0.1:1", QUEUE_TOKENS="20000")
    try:
        started.wait_until(serving=True, service=EMBEDDING_SERVICE)
        yield started
    finally:
        started.close()


@pytest.fixture
async def gateway(embedder: EmbedderProcess, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningGateway]:
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    async with before(embedder.target, embedder.key, database_url, monkeypatch) as running:
        yield running


@asynccontextmanager
async def before(target: str, key: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningGateway]:
    """A gateway whose embedder is at ``target``, with the generator that needs no model."""
    monkeypatch.setenv("LECTERN_GENERATOR_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("LECTERN_INTERNAL_KEY", key)
    environment = {
        "LECTERN_GATEWAY_DATABASE_URL": database_url,
        "LECTERN_GATEWAY_LISTEN": "127.0.0.1:0",
        "LECTERN_GATEWAY_EMBEDDER_TARGET": target,
        "LECTERN_GATEWAY_BOOTSTRAP_API_KEY": KEY,
    }
    async with serve_generator(load(GeneratorSettings)) as generator:
        for name, value in (environment | {"LECTERN_GATEWAY_GENERATOR_TARGET": f"127.0.0.1:{generator.port}"}).items():
            monkeypatch.setenv(name, value)
        async with serve(load(GatewaySettings)) as running:
            yield running


@pytest.fixture
async def client(gateway: RunningGateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=100) as opened:
        yield opened


@pytest.fixture
async def web(gateway: RunningGateway) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=100) as opened:
        yield opened


async def test_texts_become_vectors_that_tell_meaning(client: openai.AsyncOpenAI) -> None:
    reply = await client.embeddings.create(model="minilm", input=[INVOICE, PLANTS, PARAPHRASE], user="somebody")
    vectors = np.array([each.embedding for each in reply.data])
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert vectors[0] @ vectors[2] > 0.5 > vectors[0] @ vectors[1]
    assert [each.index for each in reply.data] == [0, 1, 2]
    assert (reply.object, reply.data[0].object, reply.model) == ("list", "embedding", "minilm")
    assert reply.usage.prompt_tokens == reply.usage.total_tokens > 30


async def test_numbers_and_base64_are_the_same_vector_to_the_last_bit(client: openai.AsyncOpenAI, web: httpx.AsyncClient) -> None:
    numbers = (await client.embeddings.create(model="minilm", input=PLANTS, encoding_format="float")).data[0].embedding
    packed = (await web.post("/v1/embeddings", json={"input": PLANTS, "encoding_format": "base64"})).json()["data"][0]["embedding"]
    np.testing.assert_array_equal(np.array(numbers, dtype="<f4"), np.frombuffer(base64.b64decode(packed), dtype="<f4"))


async def test_a_synchronous_client_gets_what_an_asynchronous_one_gets(client: openai.AsyncOpenAI, gateway: RunningGateway) -> None:
    def embed() -> list[float]:
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=100) as blocking:
            return blocking.embeddings.create(model="minilm", input=INVOICE).data[0].embedding

    assert await asyncio.to_thread(embed) == (await client.embeddings.create(model="minilm", input=INVOICE)).data[0].embedding


async def test_token_ids_are_embedded_like_the_text_that_they_spell(client: openai.AsyncOpenAI) -> None:
    text = (await client.embeddings.create(model="minilm", input="hello world")).data[0].embedding
    one = (await client.embeddings.create(model="minilm", input=HELLO_WORLD)).data
    many = (await client.embeddings.create(model="minilm", input=[HELLO_WORLD, [101, 2003, 102]])).data
    assert (len(one), len(many)) == (1, 2)
    assert np.dot(text, one[0].embedding) >= 0.9999
    assert np.dot(text, many[0].embedding) >= 0.9999 > np.dot(text, many[1].embedding)


async def test_dimensions_are_the_first_elements_brought_back_to_length_one(client: openai.AsyncOpenAI) -> None:
    whole = np.array((await client.embeddings.create(model="minilm", input=INVOICE)).data[0].embedding)
    short = np.array((await client.embeddings.create(model="minilm", input=INVOICE, dimensions=64)).data[0].embedding)
    np.testing.assert_allclose(short, whole[:64] / np.linalg.norm(whole[:64]), atol=1e-6)


async def test_a_wrong_key_is_an_authentication_error(gateway: RunningGateway) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-nonsense", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as refused:
            await stranger.embeddings.create(model="minilm", input=INVOICE)
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()
    assert (refused.value.code, refused.value.type) == ("api_key_invalid", "authentication_error")


async def test_an_unknown_model_is_not_found_and_no_other_takes_its_place(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await client.embeddings.create(model="text-embedding-3-small", input=INVOICE)
    assert (refused.value.code, refused.value.type) == ("model_not_found", "invalid_request_error")
    assert "minilm" in refused.value.message


@pytest.mark.parametrize("model", [{}, {"model": ""}, {"model": None}])
async def test_whoever_names_no_model_gets_the_current_one(web: httpx.AsyncClient, model: dict[str, str]) -> None:
    assert (await web.post("/v1/embeddings", json={"input": INVOICE, **model})).json()["model"] == "minilm"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["a", " \n"]}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": [[1, 2], []]}, "input"),
        ({"input": [[1, True]]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": 7}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": [[1] * 70_000] * 16}, "input"),
        ({"input": "a" * 1_000_001}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 385}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "task": "poem"}, "task"),
        ({"input": "a", "modle": "minilm"}, "modle"),
        ({}, "input"),
    ],
)
async def test_what_cannot_be_embedded_is_refused_with_the_field_to_change(
    client: openai.AsyncOpenAI, body: dict[str, object], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.post("/embeddings", body=body, cast_to=object)
    assert (refused.value.param, refused.value.type) == (param, "invalid_request_error")


async def test_token_ids_that_the_model_does_not_know_are_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.embeddings.create(model="minilm", input=[101, 4_000_000, 102])
    assert refused.value.type == "invalid_request_error"


async def test_a_route_that_is_not_there_answers_in_openais_shape_too(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await client.fine_tuning.jobs.list()
    assert refused.value.code == "route_not_found"


async def test_two_thousand_texts_of_many_megabytes_come_back_whole_and_in_order(client: openai.AsyncOpenAI) -> None:
    texts = [f"{number}{' ' * 8_000}{PLANTS}" for number in range(2_048)]
    reply = await client.embeddings.create(model="minilm", input=texts, dimensions=8)
    assert [each.index for each in reply.data] == list(range(2_048))
    for position in (0, 127, 128, 2_047):
        alone = (await client.embeddings.create(model="minilm", input=texts[position], dimensions=8)).data[0].embedding
        assert np.dot(alone, reply.data[position].embedding) >= 0.999


async def test_the_reply_says_where_the_time_went(web: httpx.AsyncClient) -> None:
    response = await web.post("/v1/embeddings", json={"input": INVOICE})
    stages = dict(stage.split(";dur=") for stage in response.headers["Server-Timing"].split(", "))
    assert list(stages) == ["tokenize", "queue", "inference"]
    assert float(stages["inference"]) > 0


async def test_a_full_queue_is_a_rate_limit_with_a_time_to_come_back(client: openai.AsyncOpenAI) -> None:
    texts = [PLANTS * 20] * 70
    calls = [client.embeddings.create(model="minilm", input=texts) for _ in range(6)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert 0 < len(refused) < 6
    for error in refused:
        assert isinstance(error, openai.RateLimitError)
        assert (error.code, error.type) == ("embedder_busy", "rate_limit_error")
        assert int(error.response.headers["Retry-After"]) >= 1


async def test_an_embedder_that_is_gone_is_unavailable_with_a_time_to_come_back(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    async with before("127.0.0.1:1", "k" * 32, database_url, monkeypatch) as lonely:
        body = json.dumps({"input": INVOICE}).encode()
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        async with httpx.AsyncClient(base_url=lonely.url, headers=headers, timeout=60) as web:
            response = await web.post("/v1/embeddings", content=body)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "embedder_unavailable")
    assert (response.json()["error"]["type"], response.headers["Retry-After"]) == ("server_error", "1")


async def test_models_are_listed_and_found_by_name(client: openai.AsyncOpenAI) -> None:
    listed = [model async for model in client.models.list()]
    assert {(model.object, model.owned_by) for model in listed} == {("model", "lectern")}
    assert {"minilm", "extractive"} < {model.id for model in listed}
    assert (await client.models.retrieve("minilm")).id == "minilm"
    for name in ("gpt-4", "intfloat/e5-base"):
        with pytest.raises(openai.NotFoundError) as refused:
            await client.models.retrieve(name)
        assert refused.value.code == "model_not_found"
