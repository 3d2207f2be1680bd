"""Providers, in the Postgres schema `accounts`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict

import asyncpg
import structlog

from gateway.adapters.database import connection_of, named_statements
from gateway.adapters.envelopes import Envelopes, Sealed, UnreadableSecretError
from gateway.domain.accounts import Position
from gateway.domain.ask import Endpoint
from gateway.domain.providers import ModelChoice, Provider, ProviderChange, ProviderDraft, ProviderKind, ProviderModel
from shared.errors import AppError, Status
from shared.postgres import Pool

log = structlog.get_logger()
_SQL = named_statements("providers.sql")


class PostgresProviders:
    """`gateway.domain.providers.ProviderStore` over asyncpg.

    A key is sealed for its row and its address: who can only write the database can neither read it nor have it sent elsewhere.
    Every method raises AppError ACCOUNT_STORE_UNAVAILABLE when the database does not answer.
    """

    def __init__(self, pool: Pool, envelopes: Envelopes) -> None:
        self._pool = pool
        self._envelopes = envelopes

    async def create(self, organisation_id: str, draft: ProviderDraft, key_hint: str) -> Provider:
        provider_id = f"prov_{secrets.token_hex(12)}"
        sealed = self._seal(draft.key, organisation_id, provider_id, draft.base_url)
        async with connection_of(self._pool) as connection:
            row = await connection.fetchrow(
                _SQL["insert"],
                provider_id,
                organisation_id,
                draft.name,
                draft.kind.value,
                draft.base_url,
                _from_models(draft.models),
                key_hint,
                *_columns(sealed),
            )
        if row is None:
            raise _exists(draft.name)
        return _to_provider(row)

    async def get(self, organisation_id: str, provider: str) -> Provider | None:
        async with connection_of(self._pool) as connection:
            row = await connection.fetchrow(_SQL["get"], organisation_id, provider)
        return _to_provider(row) if row else None

    async def list(self, organisation_id: str, after: Position | None, count: int) -> Sequence[Provider]:
        async with connection_of(self._pool) as connection:
            rows = await connection.fetch(_SQL["list"], organisation_id, after[0] if after else None, count)
        return [_to_provider(row) for row in rows]

    async def update(self, organisation_id: str, provider_id: str, change: ProviderChange, key_hint: str | None) -> Provider | None:
        async with connection_of(self._pool) as connection, connection.transaction():
            row = await connection.fetchrow(_SQL["lock"], organisation_id, provider_id)
            if row is None:
                return None
            key = self._open(row) if change.key is None else change.key
            sealed = self._seal(key, organisation_id, provider_id, change.base_url or row["base_url"])
            models = None if change.models is None else _from_models(change.models)
            values = (change.base_url, models, key_hint, *_columns(sealed))
            changed = await connection.fetchrow(_SQL["update"], organisation_id, provider_id, *values)
        assert changed is not None, "it is locked"
        return _to_provider(changed)

    async def delete(self, organisation_id: str, provider_id: str) -> None:
        async with connection_of(self._pool) as connection:
            await connection.execute(_SQL["delete"], organisation_id, provider_id)

    async def choose_model(self, organisation_id: str, name: str) -> ModelChoice:
        async with connection_of(self._pool) as connection:
            row = await connection.fetchrow(_SQL["choose_model"], organisation_id, name)
        if row is None or row["provider_id"] is None:
            return ModelChoice(row["chosen_model"] if row else name)
        chosen: str = row["chosen_model"]
        wanted = chosen.removeprefix(f"{row['name']}/")
        model = next((each for each in _to_models(row) if each.name == wanted), None)
        if model is None:
            return ModelChoice(chosen, row["name"])
        endpoint = Endpoint(row["base_url"], self._open(row), model.name, model.context_tokens, model.answer_tokens)
        return ModelChoice(chosen, row["name"], endpoint)

    async def default_model(self, organisation_id: str) -> str:
        async with connection_of(self._pool) as connection:
            return str(await connection.fetchval(_SQL["default_model"], organisation_id) or "")

    async def set_default_model(self, organisation_id: str, name: str) -> None:
        async with connection_of(self._pool) as connection:
            await connection.execute(_SQL["set_default_model"], organisation_id, name)

    async def reseal(self) -> int:
        """Seal every key that another key of ours has sealed under the one that seals now; how many there were.

        Keys that cannot be opened stay as they are, and the log names their providers.
        """
        resealed = 0
        async with connection_of(self._pool) as connection, connection.transaction():
            for row in await connection.fetch(_SQL["sealed_under_other_keys"], self._envelopes.key_id):
                try:
                    sealed = self._envelopes.rewrap(_sealed(row), _associated_of(row))
                except UnreadableSecretError:
                    log.warning("provider_key_unreadable", provider_id=row["provider_id"], encryption_key_id=row["encryption_key_id"])
                    continue
                await connection.execute(_SQL["reseal"], row["provider_id"], *_columns(sealed))
                resealed += 1
        return resealed

    def _seal(self, key: str, organisation_id: str, provider_id: str, base_url: str) -> Sealed | None:
        return self._envelopes.seal(key, _associated(organisation_id, provider_id, base_url)) if key else None

    def _open(self, row: asyncpg.Record) -> str:
        if row["sealed_key"] is None:
            return ""
        try:
            return self._envelopes.open(_sealed(row), _associated_of(row))
        except UnreadableSecretError:
            message = f"The key of the provider {row['name']!r} cannot be read any more. Give it again: PATCH the provider with its key."
            raise AppError("PROVIDER_KEY_UNREADABLE", Status.FAILED_PRECONDITION, message) from None


def _sealed(row: asyncpg.Record) -> Sealed:
    return Sealed(row["encryption_key_id"], row["sealed_key"])


def _columns(sealed: Sealed | None) -> tuple[str | None, bytes | None]:
    return (sealed.key_id, sealed.data) if sealed else (None, None)


def _associated_of(row: asyncpg.Record) -> bytes:
    return _associated(row["organisation_id"], row["provider_id"], row["base_url"])


def _associated(organisation_id: str, provider_id: str, base_url: str) -> bytes:
    return f"provider\0{organisation_id}\0{provider_id}\0{base_url}".encode()


def _from_models(models: Sequence[ProviderModel]) -> str:
    return json.dumps([asdict(model) for model in models])


def _to_models(row: asyncpg.Record) -> list[ProviderModel]:
    return [ProviderModel(**model) for model in json.loads(row["models"])]


def _to_provider(row: asyncpg.Record) -> Provider:
    return Provider(
        provider_id=row["provider_id"],
        name=row["name"],
        kind=ProviderKind(row["kind"]),
        base_url=row["base_url"],
        models=_to_models(row),
        has_key=row["sealed_key"] is not None,
        key_hint=row["key_hint"],
        create_time=row["create_time"],
        update_time=row["update_time"],
    )


def _exists(name: str) -> AppError:
    message = f"There is a provider {name!r} already. Choose another name."
    return AppError("PROVIDER_EXISTS", Status.ALREADY_EXISTS, message, metadata={"name": name})
