"""Large replies of vectors as JSON, written in slices so that the event loop stays free in between."""

from __future__ import annotations

import asyncio
from binascii import b2a_base64
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from gateway.domain.embeddings import Embeddings
from gateway.schemas.embeddings import EmbeddingUsage

# Elements written in one go: one to three milliseconds.
_SLICE_ELEMENTS: Final = 16_384
# Any 32-bit float comes back exactly from this many decimal digits.
_FLOAT32_DIGITS: Final = 9


async def embeddings_json(embeddings: Embeddings, *, as_base64: bool) -> bytes:
    """`EmbeddingList` as JSON."""
    written: list[bytes] = []
    index = 0
    for block in embeddings.blocks:
        rows = max(1, _SLICE_ELEMENTS // block.shape[1])
        for begin in range(0, len(block), rows):
            for vector in _vectors(block[begin : begin + rows], as_base64=as_base64):
                written.append(b'{"object":"embedding","index":%d,"embedding":%b}' % (index, vector))
                index += 1
            await asyncio.sleep(0)
    usage = EmbeddingUsage(prompt_tokens=embeddings.token_count, total_tokens=embeddings.token_count)
    ending = b'],"model":%b,"usage":%b}' % (to_json(embeddings.model), to_json(usage))
    return b'{"object":"list","data":[' + b",".join(written) + ending


def _vectors(block: NDArray[np.float32], *, as_base64: bool) -> Iterator[bytes]:
    if as_base64:
        yield from (b'"%b"' % b2a_base64(row, newline=False) for row in block.astype("<f4", copy=False))
    else:
        yield from map(to_json, _shortened(block).tolist())


def _shortened(block: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same 32-bit numbers as doubles that print with no more digits than 32 bits hold: half of the bytes, nothing lost."""
    doubles = block.astype(np.float64)
    exponents = np.floor(np.log10(np.abs(doubles, where=doubles != 0, out=np.ones_like(doubles))))
    scale = 10.0 ** (_FLOAT32_DIGITS - 1 - exponents)
    shortened: NDArray[np.float64] = np.rint(doubles * scale) / scale
    return shortened
