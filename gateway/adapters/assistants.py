"""Assistants, in the Postgres schema `accounts`."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import asyncpg

from gateway.adapters.database import connection_of, named_statements
from gateway.domain.accounts import Position, Principal, Role
from gateway.domain.assistants import Assistant, AssistantChange, AssistantDraft, Visibility
from shared.errors import AppError, Status
from shared.postgres import Pool

# Gateways that start at the same time make the built-in assistants one after the other.
_BUILT_IN_LOCK = 0x6C656374_61737374
_SQL = named_statements("assistants.sql")
_FIELDS = ("name", "description", "prompt", "visibility", "avatar", "starter_messages", "collections", "model", "language")


class PostgresAssistants:
    """`gateway.domain.assistants.AssistantStore` over asyncpg.

    Every method raises AppError ACCOUNT_STORE_UNAVAILABLE when the database does not answer.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, principal: Principal, draft: AssistantDraft) -> Assistant:
        async with connection_of(self._pool) as connection:
            row = await connection.fetchrow(_SQL["insert"], _new_id(), principal.organisation_id, principal.api_key_id, *_columns(draft))
        if row is None:
            raise _exists(draft.name)
        return _to_assistant(row)

    async def get(self, principal: Principal, assistant: str) -> Assistant | None:
        async with connection_of(self._pool) as connection:
            row = await connection.fetchrow(_SQL["get"], *_viewer(principal), assistant)
        return _to_assistant(row) if row else None

    async def list(self, principal: Principal, after: Position | None, count: int) -> Sequence[Assistant]:
        async with connection_of(self._pool) as connection:
            rows = await connection.fetch(_SQL["list"], *_viewer(principal), *(after or (None, None)), count)
        return [_to_assistant(row) for row in rows]

    async def update(self, assistant_id: str, change: AssistantChange) -> Assistant | None:
        async with connection_of(self._pool) as connection:
            try:
                row = await connection.fetchrow(_SQL["update"], assistant_id, *_columns(change))
            except asyncpg.UniqueViolationError:
                raise _exists(change.name or "") from None
        return _to_assistant(row) if row else None

    async def delete(self, assistant_id: str) -> None:
        async with connection_of(self._pool) as connection:
            await connection.execute(_SQL["delete"], assistant_id)

    async def replace_built_in(self, drafts: Sequence[AssistantDraft]) -> None:
        async with connection_of(self._pool) as connection, connection.transaction():
            await connection.execute(_SQL["lock_built_in"], _BUILT_IN_LOCK)
            await connection.execute(_SQL["delete_built_in_but"], [draft.name for draft in drafts])
            await connection.executemany(_SQL["upsert_built_in"], [(_new_id(), *_columns(draft)) for draft in drafts])


def _columns(assistant: AssistantDraft | AssistantChange) -> tuple[Any, ...]:
    return tuple(getattr(assistant, name) for name in _FIELDS)


def _viewer(principal: Principal) -> tuple[str, str, bool]:
    return principal.organisation_id, principal.api_key_id, principal.role.includes(Role.ADMIN)


def _to_assistant(row: asyncpg.Record) -> Assistant:
    values: dict[str, Any] = dict(row)
    del values["organisation_id"]
    return Assistant(**values | {"visibility": Visibility(values["visibility"])})


def _exists(name: str) -> AppError:
    message = f"There is an assistant {name!r} already, though perhaps a private one that you don't see. Choose another name."
    return AppError("ASSISTANT_EXISTS", Status.ALREADY_EXISTS, message, metadata={"name": name})


def _new_id() -> str:
    return f"asst_{secrets.token_hex(12)}"
