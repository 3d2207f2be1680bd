"""From the text of a key to the one who holds it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.domain.accounts import Principal
from gateway.domain.api_keys import KeyText, parse_key
from gateway.errors import unauthenticated

MAX_CACHED_KEYS: Final = 10_000
# Compared with when there is no such key, so that an answer takes the same time either way.
_NO_DIGEST: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Credential:
    """A key that may be used now.

    Attributes:
        digest: SHA-256 of the key's text.
    """

    principal: Principal
    digest: bytes


class CredentialStore(Protocol):
    async def use_key(self, prefix: str) -> Credential | None:
        """The key of that prefix, its use noted (once a minute at most); None when there is none, or it is revoked or has expired."""
        ...


class Authenticator:
    """Accepts API keys; what was accepted is remembered for a few seconds.

    A key revoked through this process is refused at once, through another after ``cache_seconds``.
    """

    def __init__(self, store: CredentialStore, cache_seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._cache_seconds = cache_seconds
        self._now = now
        self._cache: OrderedDict[str, tuple[float, Credential]] = OrderedDict()
        self._forgotten = 0

    async def authenticate(self, text: str) -> Principal:
        """Who holds the key ``text``.

        Raises:
            AppError: API_KEY_INVALID.
        """
        key = parse_key(text)
        if key is None:
            raise unauthenticated("API_KEY_INVALID", "This is no API key of ours: one looks like lk_<prefix>_<secret>.")
        credential = await self._credential(key)
        if not key.matches(credential.digest if credential else _NO_DIGEST) or credential is None:
            raise unauthenticated("API_KEY_INVALID", "The API key is unknown, revoked or has expired. Ask your admin for a new one.")
        return credential.principal

    def forget(self, prefix: str) -> None:
        """Ask the store again when the key of ``prefix`` is next used."""
        self._cache.pop(prefix, None)
        self._forgotten += 1

    async def _credential(self, key: KeyText) -> Credential | None:
        cached = self._cache.get(key.prefix)
        if cached and self._now() - cached[0] < self._cache_seconds:
            return cached[1]
        read_time, forgotten = self._now(), self._forgotten
        credential = await self._store.use_key(key.prefix)
        self._cache.pop(key.prefix, None)
        # A key revoked while it was being read must not be remembered; wrong secrets must not push out right ones.
        if credential and forgotten == self._forgotten and key.matches(credential.digest):
            self._cache[key.prefix] = (read_time, credential)
            if len(self._cache) > MAX_CACHED_KEYS:
                self._cache.popitem(last=False)
        return credential
