"""The embeddings protocol that OpenAI's servers began: requests, replies, and when to come back."""

from __future__ import annotations

import base64
import email.utils
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from embedder.domain.encoding import Vectors


class InvalidReplyError(Exception):
    """What the server answered cannot be the vectors of the texts; the text says why, without any of its content."""


def request_body(model: str, texts: Sequence[str], *, as_base64: bool) -> bytes:
    """The JSON of one request. Without ``as_base64`` nothing is said of the encoding, which means lists of numbers everywhere."""
    body: dict[str, Any] = {"model": model, "input": list(texts)}
    if as_base64:
        body["encoding_format"] = "base64"
    return json.dumps(body, ensure_ascii=False).encode()


def read_vectors(reply: bytes, count: int) -> Vectors:
    """The vectors in the order of their texts, scaled to length 1; one without a length or not finite stays as it is.

    Args:
        reply: the JSON of a reply; its vectors may be base64 of little-endian floats or lists of numbers.
        count: how many texts were sent.

    Shapes:
        returns: (texts, dimension).

    Raises:
        InvalidReplyError: it is no such JSON, lacks a text or has one twice, or its vectors differ in length.
    """
    try:
        rows = list(json.loads(reply)["data"])
        by_index = {_index(row, position): _vector(row["embedding"]) for position, row in enumerate(rows)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidReplyError("it is not a list of embeddings") from None
    if len(rows) != count or by_index.keys() != set(range(count)):
        raise InvalidReplyError(f"it has {len(rows)} vectors for {count} texts, or two for one of them")
    if len({vector.shape for vector in by_index.values()}) != 1:
        raise InvalidReplyError("its vectors differ in length")
    vectors = np.stack([by_index[index] for index in range(count)]).astype(np.float32)
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)  # (texts, 1)
    usable = np.isfinite(lengths) & (lengths > 0)
    scaled: Vectors = np.divide(vectors, lengths, out=vectors, where=usable, casting="same_kind")
    return scaled


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """What ``Retry-After`` asks for, in seconds or as a date; None when it is absent or cannot be read."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _index(row: Mapping[str, Any], position: int) -> int:
    index = row.get("index", position)
    if not isinstance(index, int) or isinstance(index, bool):
        raise TypeError
    return index


def _vector(embedding: object) -> Vectors:
    if isinstance(embedding, str):
        vector: Vectors = np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    else:
        with np.errstate(over="ignore"):
            vector = np.asarray(embedding, dtype=np.float64).astype(np.float32)
    if vector.ndim != 1 or not vector.size:
        raise ValueError
    return vector
