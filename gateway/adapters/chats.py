"""Chats, folders and users' settings, in the Postgres schema `accounts`."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from gateway.adapters.database import Connection, connection_of, named_statements
from gateway.domain.accounts import Position, Principal
from gateway.domain.assistants import Visibility
from gateway.domain.chats.chats import Chat, ChatChange, ChatDraft, ChatFilter, Folder
from gateway.domain.user_settings import UserSettings, UserSettingsChange
from shared.errors import AppError, Status, not_found
from shared.postgres import Pool

_SQL = named_statements("chats.sql")


class PostgresChats:
    """`gateway.domain.chats.chats.ChatStore` over asyncpg. Every statement names the organisation and the user.

    Every method raises AppError ACCOUNT_STORE_UNAVAILABLE when the database does not answer.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, principal: Principal, draft: ChatDraft) -> Chat:
        values = (draft.title, draft.folder_id, draft.assistant_id, draft.model, draft.visibility.value)
        async with connection_of(self._pool) as connection:
            row = await _in_folder(draft.folder_id, connection, "insert_chat", new_id("chat"), *_owner(principal), *values)
        assert row is not None, "an INSERT returns its row"
        return _to_chat(row)

    async def get(self, principal: Principal, chat_id: str) -> Chat | None:
        async with connection_of(self._pool) as connection:
            row = await connection.fetchrow(_SQL["get_chat"], *_owner(principal), chat_id)
        return _to_chat(row) if row else None

    async def list(self, principal: Principal, wanted: ChatFilter, before: Position | None, count: int) -> Sequence[Chat]:
        statement = _SQL["list_shared_chats" if wanted.shared else "list_own_chats"]
        position = (datetime.fromisoformat(before[0]), before[1]) if before else (None, "")
        async with connection_of(self._pool) as connection:
            rows = await connection.fetch(statement, *_owner(principal), wanted.folder_id, wanted.text, *position, count)
        return [_to_chat(row) for row in rows]

    async def update(self, principal: Principal, chat_id: str, change: ChatChange) -> Chat | None:
        visibility = change.visibility.value if change.visibility else None
        values = (change.title, change.folder_id, change.assistant_id, change.model, visibility)
        async with connection_of(self._pool) as connection:
            row = await _in_folder(change.folder_id, connection, "update_chat", *_owner(principal), chat_id, *values)
        return _to_chat(row) if row else None

    async def name(self, principal: Principal, chat_id: str, title: str) -> bool:
        async with connection_of(self._pool) as connection:
            return await connection.fetchval(_SQL["name_chat"], *_owner(principal), chat_id, title) is not None

    async def delete(self, principal: Principal, chat_id: str) -> bool:
        async with connection_of(self._pool) as connection:
            return await connection.fetchval(_SQL["delete_chat"], *_owner(principal), chat_id) is not None

    async def delete_old(self, count: int) -> int:
        async with connection_of(self._pool) as connection:
            return int(await connection.fetchval(_SQL["delete_old_chats"], count) or 0)

    async def create_folder(self, principal: Principal, name: str) -> Folder:
        async with connection_of(self._pool) as connection:
            row = await _named(name, connection, "insert_folder", new_id("folder"), *_owner(principal), name)
        assert row is not None, "an INSERT returns its row"
        return Folder(**row)

    async def get_folder(self, principal: Principal, folder_id: str) -> Folder | None:
        async with connection_of(self._pool) as connection:
            row = await connection.fetchrow(_SQL["get_folder"], *_owner(principal), folder_id)
        return Folder(**row) if row else None

    async def list_folders(self, principal: Principal, after: Position | None, count: int) -> Sequence[Folder]:
        async with connection_of(self._pool) as connection:
            rows = await connection.fetch(_SQL["list_folders"], *_owner(principal), *(after or (None, "")), count)
        return [Folder(**row) for row in rows]

    async def rename_folder(self, principal: Principal, folder_id: str, name: str) -> Folder | None:
        async with connection_of(self._pool) as connection:
            row = await _named(name, connection, "rename_folder", *_owner(principal), folder_id, name)
        return Folder(**row) if row else None

    async def delete_folder(self, principal: Principal, folder_id: str) -> bool:
        async with connection_of(self._pool) as connection:
            return await connection.fetchval(_SQL["delete_folder"], *_owner(principal), folder_id) is not None


class PostgresUserSettings:
    """`gateway.domain.user_settings.UserSettingsStore` and `gateway.domain.chats.chats.RecentAssistants` over asyncpg."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, principal: Principal) -> UserSettings:
        async with connection_of(self._pool) as connection:
            return await _settings(connection, principal)

    async def update(self, principal: Principal, change: UserSettingsChange) -> UserSettings:
        async with connection_of(self._pool) as connection, connection.transaction():
            await connection.execute(_SQL["update_settings"], *_owner(principal), change.default_model, change.retention_days)
            if (days := change.organisation_retention_days) is not None:
                await connection.execute(_SQL["update_organisation_settings"], principal.organisation_id, days)
            return await _settings(connection, principal)

    async def note_assistant(self, principal: Principal, assistant_id: str) -> None:
        async with connection_of(self._pool) as connection:
            await connection.execute(_SQL["note_assistant"], *_owner(principal), assistant_id)


def new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"


async def _settings(connection: Connection, principal: Principal) -> UserSettings:
    row = await connection.fetchrow(_SQL["get_settings"], *_owner(principal))
    if row is None:
        raise not_found("organisation", principal.organisation_id)
    return UserSettings(**row)


async def _in_folder(folder_id: str | None, connection: Connection, statement: str, *values: object) -> asyncpg.Record | None:
    """What ``statement`` returns, which puts a chat into a folder."""
    try:
        return await connection.fetchrow(_SQL[statement], *values)
    except asyncpg.ForeignKeyViolationError as error:
        if error.constraint_name is None or "folder" not in error.constraint_name:
            raise
        raise not_found("folder", folder_id or "") from None


async def _named(name: str, connection: Connection, statement: str, *values: object) -> asyncpg.Record | None:
    """What ``statement`` returns, which gives a folder its name."""
    try:
        return await connection.fetchrow(_SQL[statement], *values)
    except asyncpg.UniqueViolationError:
        message = f"You have a folder {name!r} already. Choose another name."
        raise AppError("FOLDER_EXISTS", Status.ALREADY_EXISTS, message, metadata={"name": name}) from None


def _owner(principal: Principal) -> tuple[str, str]:
    return principal.organisation_id, principal.user_id


def _to_chat(row: asyncpg.Record) -> Chat:
    values: dict[str, Any] = {name: value for name, value in row.items() if name not in {"organisation_id", "user_id"}}
    return Chat(**values | {"visibility": Visibility(values["visibility"])})
