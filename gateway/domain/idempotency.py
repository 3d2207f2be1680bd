"""Requests that may be sent twice and are done once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from gateway.errors import idempotency_key_reused
from shared.errors import AppError

log = structlog.get_logger()
# A process that dies in the middle of a request blocks its key for this long.
LEASE_SECONDS = 30.0
PRUNE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What names a request: the same key of another API key, or of another route, is another request."""

    organisation_id: str
    api_key_id: str
    route: str
    key: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request was answered."""

    status: int
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class KeptReply:
    """A reply, with the SHA-256 of the request that it answers."""

    fingerprint: bytes
    reply: Reply


class ReplyStore(Protocol):
    """Where replies are kept for a day. Methods raise AppError ACCOUNT_STORE_UNAVAILABLE."""

    async def begin(self, request: RequestKey, token: str, lease_seconds: float) -> KeptReply | None:
        """The reply that the request got before; None: from now on ``token`` does it.

        Raises:
            AppError: REQUEST_IN_WORK while another holds its lease.
        """
        ...

    async def renew(self, request: RequestKey, token: str, lease_seconds: float) -> None: ...

    async def keep(self, request: RequestKey, token: str, kept: KeptReply) -> None:
        """Keep the reply, if ``token`` still does the request."""
        ...

    async def release(self, request: RequestKey, token: str) -> None:
        """Forget that the request was begun, if ``token`` still does it."""
        ...

    async def prune(self) -> None:
        """Forget what is older than a day."""
        ...


class Idempotency:
    """Does each request once, and answers its repetitions with the reply that the first one got."""

    def __init__(self, store: ReplyStore) -> None:
        self._store = store

    async def once(
        self, request: RequestKey, fingerprint: Callable[[], Awaitable[bytes]], work: Callable[[], Awaitable[Reply]]
    ) -> tuple[Reply, bool]:
        """The reply of ``work``, or the kept one of an earlier request; and whether it is that.

        Only success is kept. Whatever else ``work`` ends with did nothing, and the next request tries again.

        Args:
            request: what names it.
            fingerprint: what its parameters and body are; reads what ``work`` has left of the body.
            work: does the request.

        Raises:
            AppError: REQUEST_IN_WORK, IDEMPOTENCY_KEY_REUSED, and whatever ``work`` raises.
        """
        token = secrets.token_hex(16)
        kept = await self._store.begin(request, token, LEASE_SECONDS)
        if kept is not None:
            if kept.fingerprint != await fingerprint():
                raise idempotency_key_reused()
            return kept.reply, True
        done: KeptReply | None = None
        try:
            async with self._renewing(request, token):
                reply = await work()
                done = KeptReply(await fingerprint(), reply) if reply.status < 300 else None  # noqa: PLR2004  # success, as HTTP counts
            return reply, False
        finally:
            # Also when the client has left meanwhile: what was done stays done.
            await asyncio.shield(self._end(request, token, done))

    @asynccontextmanager
    async def _renewing(self, request: RequestKey, token: str) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(LEASE_SECONDS / 3)
                with suppress(AppError):
                    await self._store.renew(request, token, LEASE_SECONDS)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    async def _end(self, request: RequestKey, token: str, done: KeptReply | None) -> None:
        try:
            if done is not None:
                await self._store.keep(request, token, done)
            else:
                await self._store.release(request, token)
        except AppError as error:
            # The reply is true whether it can be kept or not; the lease ends by itself.
            log.warning("reply_not_kept", reason=error.reason)

    async def prune_for_ever(self) -> None:
        """Forget old replies again and again, until cancelled."""
        while True:
            with suppress(AppError):
                await self._store.prune()
            await asyncio.sleep(PRUNE_SECONDS)
