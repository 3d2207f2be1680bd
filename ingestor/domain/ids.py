"""Names that are given once and never again."""

from __future__ import annotations

import hashlib
import secrets
import time
from uuid import UUID


def new_id() -> str:
    """A UUID of version 7: unique, and later ones sort after earlier ones, which keeps indexes compact.

    Source: RFC 9562, section 5.7, with the fraction of the millisecond in ``rand_a`` (section 6.2, method 3).
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    return str(UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)))


def is_id(text: str) -> bool:
    """Whether ``text`` has the form of `new_id`, so that a name must not look like it."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def passage_id(document_id: str, generation: int, ordinal: int) -> str:
    """The key of a passage in every store: the same for the same place in the same generation, however often it is written."""
    return hashlib.sha256(f"{document_id}:{generation}:{ordinal}".encode()).hexdigest()[:32]


def identity(*, external_id: str = "", name: str = "", url: str = "") -> str:
    """What a document is known by in its collection: the first of these that is given, and a new id where none is."""
    for kind, value in (("id", external_id), ("name", name), ("url", url)):
        if value:
            return hashlib.sha256(f"{kind}:{value}".encode()).hexdigest()
    return new_id()
