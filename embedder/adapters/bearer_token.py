"""Who may call when callers are none of our services and cannot sign."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from embedder import errors
from shared.caller import Caller


class BearerToken:
    """Lets in whoever sends the token, or everybody when there is none; all are one caller."""

    def __init__(self, token: str, caller: Caller) -> None:
        self._expected = f"Bearer {token}".encode() if token else None
        self._caller = caller

    def identify(self, metadata: Mapping[str, Any]) -> Caller:
        """The one caller.

        Raises:
            AppError: TOKEN_INVALID.
        """
        sent = str(metadata.get("authorization", "")).encode()
        if self._expected is not None and not hmac.compare_digest(sent, self._expected):
            raise errors.token_invalid()
        return self._caller
