"""The bytes of documents, kept under the hash of what they are."""

from __future__ import annotations

from typing import Protocol


def object_key(content_sha256: str) -> str:
    """Where an organisation keeps the bytes with this hash: two levels, so that no folder grows without end."""
    return f"{content_sha256[:2]}/{content_sha256}"


class ContentStore(Protocol):
    """Bytes by organisation and SHA-256. Equal bytes of one organisation are kept once; organisations share nothing."""

    async def put(self, organisation_id: str, content_sha256: str, content: bytes) -> None:
        """Make the bytes durable.

        Raises:
            AppError: OBJECT_STORE_UNAVAILABLE.
        """
        ...

    async def get(self, organisation_id: str, content_sha256: str) -> bytes:
        """The bytes that were put.

        Raises:
            AppError: CONTENT_LOST or CONTENT_CORRUPT (DATA_LOSS), OBJECT_STORE_UNAVAILABLE.
        """
        ...
