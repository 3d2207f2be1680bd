"""Organisations and API keys, in the Postgres schema `accounts`."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from gateway.adapters.database import Connection, connection_of, named_statements
from gateway.domain.accounts import ApiKey, Organisation, Position, Principal, Role
from gateway.domain.api_keys import KeyText
from gateway.domain.authentication import Credential
from gateway.errors import schema_outdated
from shared.errors import AppError, Status
from shared.postgres import Pool

# Two gateways that start at the same time must not both create the first organisation.
_BOOTSTRAP_LOCK = 0x6C656374_61636374
_SQL = named_statements("accounts.sql")


class PostgresAccounts:
    """`gateway.domain.accounts.AccountStore` and `gateway.domain.authentication.CredentialStore` over asyncpg.

    Every method raises AppError ACCOUNT_STORE_UNAVAILABLE when the database does not answer.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def require_schema(self, version: str, command: str) -> None:
        """Make sure that the database has ``version`` of the schema, or a later one, which still works with this code.

        Raises:
            AppError: DATABASE_SCHEMA_OUTDATED, which names ``command``.
        """
        async with connection_of(self._pool) as connection:
            known = await connection.fetchval(_SQL["has_schema"])
            found = await connection.fetchval(_SQL["schema_version"]) if known else None
        if found is None or found < version:
            raise schema_outdated(found, version, command)

    async def is_ready(self) -> bool:
        async with connection_of(self._pool) as connection:
            await connection.execute("SELECT 1")
        return True

    async def create_organisation(self, name: str, key: KeyText) -> tuple[Organisation, ApiKey]:
        async with connection_of(self._pool) as connection, connection.transaction():
            row = await connection.fetchrow(_SQL["insert_organisation"], _new_id("org"), name)
            if row is None:
                message = f"There is an organisation {name!r} already. Choose another name."
                raise AppError("ORGANISATION_EXISTS", Status.ALREADY_EXISTS, message, metadata={"name": name})
            organisation = Organisation(**row)
            return organisation, await _insert_key(connection, organisation.organisation_id, key, name="first key", role=Role.ADMIN)

    async def create_first_organisation(self, name: str, key: KeyText) -> Organisation | None:
        async with connection_of(self._pool) as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _BOOTSTRAP_LOCK)
            if await connection.fetchval(_SQL["any_organisation"]):
                return None
            row = await connection.fetchrow(_SQL["insert_organisation"], _new_id("org"), name)
            assert row is not None, "no other name exists"
            organisation = Organisation(**row)
            await _insert_key(connection, organisation.organisation_id, key, name="bootstrap", role=Role.OPERATOR)
            return organisation

    async def get_organisation(self, organisation_id: str) -> Organisation | None:
        async with connection_of(self._pool) as connection:
            row = await connection.fetchrow(_SQL["get_organisation"], organisation_id)
        return Organisation(**row) if row else None

    async def list_organisations(self, after: Position | None, count: int) -> Sequence[Organisation]:
        async with connection_of(self._pool) as connection:
            rows = await connection.fetch(_SQL["list_organisations"], *_position(after), count)
        return [Organisation(**row) for row in rows]

    async def create_api_key(self, organisation_id: str, name: str, role: Role, key: KeyText, expire_time: datetime | None) -> ApiKey:
        async with connection_of(self._pool) as connection:
            return await _insert_key(connection, organisation_id, key, name=name, role=role, expire_time=expire_time)

    async def list_api_keys(self, organisation_id: str, after: Position | None, count: int) -> Sequence[ApiKey]:
        async with connection_of(self._pool) as connection:
            rows = await connection.fetch(_SQL["list_api_keys"], organisation_id, *_position(after), count)
        return [_to_api_key(row) for row in rows]

    async def get_api_key(self, organisation_id: str, api_key_id: str) -> ApiKey | None:
        async with connection_of(self._pool) as connection:
            row = await connection.fetchrow(_SQL["get_api_key"], organisation_id, api_key_id)
        return _to_api_key(row) if row else None

    async def revoke_api_key(self, organisation_id: str, api_key_id: str) -> None:
        async with connection_of(self._pool) as connection, connection.transaction():
            # Two admins who revoke each other at the same time wait for each other here.
            await connection.fetchval(_SQL["lock_organisation"], organisation_id)
            await connection.execute(_SQL["revoke_api_key"], organisation_id, api_key_id)
            if not await connection.fetchval(_SQL["has_admin_key"], organisation_id):
                message = "This is the last key that can manage the organisation. Make another admin key first."
                raise AppError("LAST_ADMIN_KEY", Status.FAILED_PRECONDITION, message)

    async def use_key(self, prefix: str) -> Credential | None:
        async with connection_of(self._pool) as connection:
            row = await connection.fetchrow(_SQL["usable_key"], prefix)
            if row is None:
                return None
            if row["use_is_stale"]:
                await connection.execute(_SQL["note_use"], row["api_key_id"])
        return Credential(Principal(row["organisation_id"], row["api_key_id"], Role(row["role"])), row["digest"])


async def _insert_key(
    connection: Connection, organisation_id: str, key: KeyText, *, name: str, role: Role, expire_time: datetime | None = None
) -> ApiKey:
    row = await connection.fetchrow(
        _SQL["insert_api_key"], _new_id("key"), organisation_id, name, key.prefix, key.digest, role.value, expire_time
    )
    assert row is not None, "an INSERT returns its row"
    return _to_api_key(row)


def _to_api_key(row: asyncpg.Record) -> ApiKey:
    values: dict[str, Any] = dict(row)
    return ApiKey(**values | {"role": Role(values["role"])})


def _position(after: Position | None) -> tuple[datetime | None, str]:
    return (datetime.fromisoformat(after[0]), after[1]) if after else (None, "")


def _new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"
