"""Searches that were made, in the Postgres schema `accounts`."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from datetime import datetime

from gateway.adapters.database import connection_of, named_statements
from gateway.domain.accounts import Position, Principal
from gateway.domain.search_history import Entry, PastSearch
from shared.postgres import Pool

_SQL = named_statements("search_history.sql")
_LOCK = 0x6C656374_68697374


class PostgresSearchHistory:
    """`gateway.domain.search_history.SearchHistoryStore` over asyncpg.

    Every method raises AppError ACCOUNT_STORE_UNAVAILABLE when the database does not answer.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, entries: Sequence[Entry]) -> None:
        async with connection_of(self._pool) as connection, connection.transaction():
            await connection.execute(_SQL["lock_shared"], _LOCK)
            now = time.monotonic()
            await connection.execute(
                _SQL["add"],
                [f"search_{secrets.token_hex(12)}" for _ in entries],
                [entry.principal.organisation_id for entry in entries],
                [entry.principal.user_id for entry in entries],
                [entry.search.query for entry in entries],
                [entry.search.request_json for entry in entries],
                [entry.search.hit_count for entry in entries],
                [entry.search.total_ms for entry in entries],
                [entry.search.trace_id for entry in entries],
                [now - entry.made_at for entry in entries],
            )

    async def list(self, principal: Principal, after: Position | None, count: int) -> Sequence[PastSearch]:
        position = (datetime.fromisoformat(after[0]), after[1]) if after else (None, None)
        async with connection_of(self._pool) as connection:
            rows = await connection.fetch(_SQL["list"], *_owner(principal), *position, count)
        return [PastSearch(**{**row, "request": json.loads(row["request"])}) for row in rows]

    async def delete(self, principal: Principal, search_id: str) -> bool:
        async with connection_of(self._pool) as connection:
            return bool(await connection.fetchval(_SQL["delete"], *_owner(principal), search_id))

    async def clear(self, principal: Principal) -> None:
        async with connection_of(self._pool) as connection, connection.transaction():
            await connection.execute(_SQL["lock"], _LOCK)
            await connection.execute(_SQL["mark_cleared"], *_owner(principal))
            await connection.execute(_SQL["clear"], *_owner(principal))

    async def prune(self, days: int, entries: int) -> None:
        async with connection_of(self._pool) as connection:
            await connection.execute(_SQL["prune_old"], days)
            await connection.execute(_SQL["prune_many"], entries)


def _owner(principal: Principal) -> tuple[str, str]:
    return principal.organisation_id, principal.user_id
