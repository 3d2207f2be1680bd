from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateway.domain.embeddings import EmbeddedPart, EmbeddingRequest, Embeddings, EmbeddingTimings, Lane, embed
from gateway.http.vector_json import embeddings_json

TIMINGS = EmbeddingTimings(tokenize=1.0, queue=2.0, inference=3.0)


@given(texts=st.lists(st.text(min_size=1, max_size=5).map(lambda text: text * 20_000), min_size=1, max_size=300))
@settings(max_examples=30, deadline=None)
def test_parts_put_together_again_are_the_request_and_each_fits_in_a_message(texts: list[str]) -> None:
    parts = list(EmbeddingRequest(texts=texts, model="m", dimensions=3).parts())
    assert [text for part in parts for text in part.texts] == texts
    assert {(part.model, part.dimensions) for part in parts} == {("m", 3)}
    for part in parts:
        assert 1 <= len(part.texts) <= 128
        assert len(part.texts) == 1 or sum(map(len, part.texts)) <= 262_144


def test_token_sequences_are_parted_as_texts_are() -> None:
    sequences = [[number] * 512 for number in range(300)]
    parts = list(EmbeddingRequest(token_sequences=sequences).parts())
    assert [tokens for part in parts for tokens in part.token_sequences] == sequences
    assert [len(part.token_sequences) for part in parts] == [128, 128, 44]


@pytest.mark.parametrize(
    ("request_", "lane"),
    [
        (EmbeddingRequest(texts=["one question"]), Lane.INTERACTIVE),
        (EmbeddingRequest(texts=["a" * 100] * 40), Lane.INTERACTIVE),
        (EmbeddingRequest(texts=["a" * 100] * 41), Lane.BULK),
        (EmbeddingRequest(texts=["a" * 5_000]), Lane.BULK),
        (EmbeddingRequest(token_sequences=[[1] * 1_025]), Lane.BULK),
    ],
)
def test_little_is_interactive_and_much_is_bulk(request_: EmbeddingRequest, lane: Lane) -> None:
    assert request_.lane is lane


class CountingEmbedder:
    """Gives each text its length as its vector."""

    async def embed(self, parts: Sequence[EmbeddingRequest], lane: Lane) -> AsyncIterator[EmbeddedPart]:
        for part in parts:
            yield EmbeddedPart(np.array([[len(text)] for text in part.texts], dtype=np.float32), "m", len(part.texts), TIMINGS)


async def test_the_parts_of_a_request_are_one_reply() -> None:
    texts = ["a" * length for length in range(1, 301)]
    embeddings = await embed(CountingEmbedder(), EmbeddingRequest(texts=texts))
    assert np.vstack(embeddings.blocks)[:, 0].tolist() == list(range(1, 301))
    assert (embeddings.token_count, embeddings.timings) == (300, EmbeddingTimings(tokenize=3.0, queue=2.0, inference=9.0))


def embeddings_of(block: np.typing.NDArray[np.float32]) -> Embeddings:
    return Embeddings([block], "m", 7, TIMINGS)


@given(block=arrays(np.float32, (3, 4), elements=st.floats(allow_nan=False, allow_infinity=False, width=32)))
@settings(deadline=None)
def test_written_numbers_read_back_as_the_same_32_bits(block: np.typing.NDArray[np.float32]) -> None:
    written = json.loads(asyncio.run(embeddings_json(embeddings_of(block), as_base64=False)))
    read = np.array([each["embedding"] for each in written["data"]], dtype=np.float32)
    np.testing.assert_array_equal(read, block)
    packed = json.loads(asyncio.run(embeddings_json(embeddings_of(block), as_base64=True)))
    unpacked = [np.frombuffer(base64.b64decode(each["embedding"]), dtype="<f4") for each in packed["data"]]
    np.testing.assert_array_equal(np.stack(unpacked), block)


async def test_a_number_takes_no_more_digits_than_32_bits_hold() -> None:
    block = np.array([[0.1, -0.012345678]], dtype=np.float32)
    assert b'"embedding":[0.100000001,-0.0123456782]' in await embeddings_json(embeddings_of(block), as_base64=False)


@pytest.mark.parametrize("as_base64", [True, False])
async def test_others_get_their_turn_while_a_large_reply_is_written(as_base64: bool) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    block = np.random.default_rng(0).standard_normal((2_048, 384), dtype=np.float32)
    written = await embeddings_json(embeddings_of(block), as_base64=as_base64)
    other.cancel()
    assert turns >= 2_048 * 384 // 16_384
    assert [each["index"] for each in json.loads(written)["data"]] == list(range(2_048))
