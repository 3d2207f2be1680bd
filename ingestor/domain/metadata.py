"""Free metadata of collections and documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from shared.errors import invalid_argument

Metadata: TypeAlias = Mapping[str, Any]
# The vector index keeps a copy beside every passage, in a field that holds 64 KiB.
MAX_METADATA_BYTES = 32 * 1024
# Deeper structures are no metadata, and recursion over them has an end in every library.
MAX_METADATA_DEPTH = 20


def check_metadata(metadata: Metadata) -> int:
    """Refuse metadata that some store could not hold.

    Returns:
        Its size in bytes, as JSON.

    Raises:
        AppError: METADATA_TOO_LARGE or METADATA_TOO_DEEP.
    """
    if _depth(metadata) > MAX_METADATA_DEPTH:
        raise invalid_argument("METADATA_TOO_DEEP", f"Metadata may be nested {MAX_METADATA_DEPTH} levels deep.", field="metadata")
    size = len(json.dumps(metadata, ensure_ascii=False).encode())
    if size > MAX_METADATA_BYTES:
        raise invalid_argument(
            "METADATA_TOO_LARGE", f"Metadata may have {MAX_METADATA_BYTES:,} bytes as JSON; this has {size:,}.", field="metadata"
        )
    return size


def _depth(value: Any) -> int:
    if isinstance(value, Mapping):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0
