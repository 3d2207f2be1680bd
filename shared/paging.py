"""Page tokens: opaque, signed, and good for one query only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

from shared.errors import AppError, invalid_argument

_DIGEST_BYTES = 16
DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000


def page_size(requested: int) -> int:
    """The page size to use for a request's ``page_size``, where 0 asks for the default.

    Raises:
        AppError: PAGE_SIZE_OUT_OF_RANGE.
    """
    if requested == 0:
        return DEFAULT_PAGE_SIZE
    if not 1 <= requested <= MAX_PAGE_SIZE:
        raise invalid_argument("PAGE_SIZE_OUT_OF_RANGE", f"page_size must be between 1 and {MAX_PAGE_SIZE}.", field="page_size")
    return requested


class PageTokens:
    """Makes and reads page tokens.

    A token holds the position after the last row. It is signed together with the query that it continues, so it can neither be made up nor
    be used with another query or by another organisation.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encode(self, query: Mapping[str, str], position: tuple[str, ...]) -> str:
        """A token for ``position`` (the sort keys of the last row) of ``query`` (every parameter that shapes the result)."""
        body = json.dumps(position, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._sign(query, body) + body).rstrip(b"=").decode()

    def decode(self, query: Mapping[str, str], token: str) -> tuple[str, ...] | None:
        """The position that ``token`` stands for; None when it is empty, which means the beginning.

        Raises:
            AppError: PAGE_TOKEN_INVALID when the token was not made for this query.
        """
        if not token:
            return None
        try:
            raw = base64.urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4))
        except ValueError:
            raise _invalid() from None
        signature, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if not hmac.compare_digest(signature, self._sign(query, body)):
            raise _invalid()
        return tuple(json.loads(body))

    def _sign(self, query: Mapping[str, str], body: bytes) -> bytes:
        canonical = json.dumps(dict(query), sort_keys=True, separators=(",", ":")).encode()
        return hmac.new(self._key, len(canonical).to_bytes(4, "big") + canonical + body, hashlib.sha256).digest()[:_DIGEST_BYTES]


def _invalid() -> AppError:
    return invalid_argument(
        "PAGE_TOKEN_INVALID",
        "This page_token belongs to another query. Repeat the query it came from unchanged, or leave page_token out to begin again.",
        field="page_token",
    )
