"""Replies to requests with an Idempotency-Key, in the Postgres schema `accounts`."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets

import asyncpg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.adapters.database import connection_of, named_statements
from gateway.domain.idempotency import KeptReply, Reply, RequestKey
from gateway.errors import request_in_work
from shared.postgres import Pool

_SQL = named_statements("replies.sql")
_NONCE_BYTES = 12


class PostgresReplies:
    """`gateway.domain.idempotency.ReplyStore` over asyncpg.

    A reply may hold the only copy of a secret (a new API key), so it is sealed with AES-256-GCM under a key that is made from the
    caller's Idempotency-Key and ``sealing_key``: the database alone opens nothing.
    """

    def __init__(self, pool: Pool, sealing_key: bytes) -> None:
        self._pool = pool
        self._sealing_key = sealing_key

    async def begin(self, request: RequestKey, token: str, lease_seconds: float) -> KeptReply | None:
        async with connection_of(self._pool) as connection:
            if await connection.fetchval(_SQL["begin"], *_columns(request), token, lease_seconds):
                return None
            row = await connection.fetchrow(_SQL["read"], *_columns(request))
        if row is None or row["status"] is None:
            raise request_in_work()
        return KeptReply(row["fingerprint"], self._open(request, row))

    async def renew(self, request: RequestKey, token: str, lease_seconds: float) -> None:
        async with connection_of(self._pool) as connection:
            await connection.execute(_SQL["renew"], *_columns(request), token, lease_seconds)

    async def keep(self, request: RequestKey, token: str, kept: KeptReply) -> None:
        sealed = self._seal(request, kept.reply)
        async with connection_of(self._pool) as connection:
            await connection.execute(_SQL["keep"], *_columns(request), token, kept.fingerprint, kept.reply.status, sealed)

    async def release(self, request: RequestKey, token: str) -> None:
        async with connection_of(self._pool) as connection:
            await connection.execute(_SQL["release"], *_columns(request), token)

    async def prune(self) -> None:
        async with connection_of(self._pool) as connection:
            await connection.execute(_SQL["prune"])

    def _seal(self, request: RequestKey, reply: Reply) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        head = json.dumps(reply.media_type).encode()
        return nonce + self._cipher(request).encrypt(nonce, head + b"\n" + reply.body, _associated(request))

    def _open(self, request: RequestKey, row: asyncpg.Record) -> Reply:
        sealed: bytes = row["sealed_reply"]
        plain = self._cipher(request).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _associated(request))
        head, _, body = plain.partition(b"\n")
        return Reply(row["status"], json.loads(head), body)

    def _cipher(self, request: RequestKey) -> AESGCM:
        return AESGCM(hmac.new(self._sealing_key, request.key.encode(), hashlib.sha256).digest())


def _columns(request: RequestKey) -> tuple[str, str, str, bytes]:
    return request.organisation_id, request.api_key_id, request.route, hashlib.sha256(request.key.encode()).digest()


def _associated(request: RequestKey) -> bytes:
    """Binds a sealed reply to its row."""
    return f"{request.organisation_id}\0{request.api_key_id}\0{request.route}".encode()
