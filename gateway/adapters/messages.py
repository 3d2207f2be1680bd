"""Messages of chats, in the Postgres schema `accounts`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import asyncpg

from gateway.adapters.chats import new_id
from gateway.adapters.database import Connection, connection_of, named_statements
from gateway.domain.accounts import Principal
from gateway.domain.ask import Role
from gateway.domain.chats.answering import LEASE_SECONDS
from gateway.domain.chats.exchanges import NewQuestion
from gateway.domain.chats.messages import Evidence, Feedback, Message, MessageState, Outcome, Rating, Scope
from shared.postgres import Pool

_SQL = named_statements("messages.sql")
# Of an answer whose gateway died while it wrote.
LOST: Final = "GATEWAY_LOST"


class PostgresMessages:
    """`gateway.domain.chats.exchanges.ExchangeStore` and `gateway.domain.chats.answering.AnswerStore` over asyncpg.

    Every statement names the organisation and the user; what was shared is read through its chat. An answer whose lease has passed reads
    as FAILED, also before `fail_lost` has made it so.

    Every method raises AppError ACCOUNT_STORE_UNAVAILABLE when the database does not answer.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add_question(self, principal: Principal, chat_id: str, new: NewQuestion, trace_id: str) -> tuple[Message, Message] | None:
        chat = (principal.organisation_id, principal.user_id, chat_id)
        values = (new.parent_id, new.text, new.model, json.dumps(asdict(new.scope)))
        async with connection_of(self._pool) as connection, connection.transaction():
            if not await connection.fetchval(_SQL["touch_chat"], *chat):
                return None
            question = await connection.fetchrow(_SQL["insert_question"], *chat, new_id("msg"), *values)
            assert question is not None, "an INSERT returns its row"
            return _to_message(question), await _insert_answer(connection, chat, question["message_id"], trace_id)

    async def add_answer(self, principal: Principal, chat_id: str, question_id: str, trace_id: str) -> Message | None:
        chat = (principal.organisation_id, principal.user_id, chat_id)
        async with connection_of(self._pool) as connection, connection.transaction():
            if not await connection.fetchval(_SQL["touch_chat"], *chat):
                return None
            return await _insert_answer(connection, chat, question_id, trace_id)

    async def get(self, principal: Principal, chat_id: str, message_id: str) -> Message | None:
        return await self._one("get_message", principal.organisation_id, principal.user_id, chat_id, message_id)

    async def newest_answer(self, principal: Principal, chat_id: str) -> Message | None:
        return await self._one("newest_answer", principal.organisation_id, principal.user_id, chat_id)

    async def list(self, principal: Principal, chat_id: str, after: int, count: int) -> Sequence[Message]:
        return await self._all("list_messages", principal.organisation_id, principal.user_id, chat_id, after, count)

    async def branch(self, principal: Principal, chat_id: str, leaf_id: str, after: int, count: int) -> Sequence[Message]:
        return await self._all("branch", principal.organisation_id, principal.user_id, chat_id, leaf_id, after, count)

    async def path(self, principal: Principal, chat_id: str, message_id: str, count: int) -> Sequence[Message]:
        return await self._all("path", principal.organisation_id, principal.user_id, chat_id, message_id, count)

    async def rate(self, principal: Principal, chat_id: str, message_id: str, feedback: Feedback) -> Message | None:
        owner = (principal.organisation_id, principal.user_id)
        return await self._one("rate", *owner, chat_id, message_id, feedback.rating.value, feedback.comment)

    async def end(self, principal: Principal, message_id: str, outcome: Outcome) -> Message | None:
        return await self._one(
            "end_answer",
            principal.organisation_id,
            principal.user_id,
            message_id,
            outcome.state.value,
            outcome.text,
            outcome.model,
            json.dumps([asdict(citation) for citation in outcome.citations]),
            outcome.hits,
            outcome.answered,
            outcome.finish_reason,
            outcome.reason,
            json.dumps(dict(outcome.timings_ms)),
        )

    async def want_stop(self, principal: Principal, chat_id: str, message_id: str) -> None:
        async with connection_of(self._pool) as connection:
            await connection.execute(_SQL["want_stop"], principal.organisation_id, principal.user_id, chat_id, message_id)

    async def renew(self, message_ids: Sequence[str], lease_seconds: float) -> Mapping[str, bool]:
        async with connection_of(self._pool) as connection:
            rows = await connection.fetch(_SQL["renew"], message_ids, lease_seconds)
        return {row["message_id"]: row["stop_wanted"] for row in rows}

    async def fail_lost(self) -> int:
        async with connection_of(self._pool) as connection:
            return int(await connection.fetchval(_SQL["fail_lost"], LOST) or 0)

    async def _one(self, statement: str, *values: object) -> Message | None:
        async with connection_of(self._pool) as connection:
            row = await connection.fetchrow(_SQL[statement], *values)
        return _to_message(row) if row else None

    async def _all(self, statement: str, *values: object) -> Sequence[Message]:
        async with connection_of(self._pool) as connection:
            rows = await connection.fetch(_SQL[statement], *values)
        return [_to_message(row) for row in rows]


async def _insert_answer(connection: Connection, chat: tuple[str, str, str], question_id: str, trace_id: str) -> Message:
    row = await connection.fetchrow(_SQL["insert_answer"], *chat, new_id("msg"), question_id, trace_id, LEASE_SECONDS)
    assert row is not None, "an INSERT returns its row"
    return _to_message(row)


def _to_message(row: asyncpg.Record) -> Message:
    same = ("message_id", "chat_id", "parent_id", "ordinal", "text", "model", "hits", "answered", "finish_reason", "trace_id")
    values: dict[str, Any] = {name: row[name] for name in same}
    return Message(
        **values,
        role=Role(row["role"]),
        state=MessageState.FAILED if row["lost"] else MessageState(row["state"]),
        reason=LOST if row["lost"] else row["reason"],
        scope=Scope(**json.loads(row["scope"])),
        citations=[Evidence(**citation) for citation in json.loads(row["citations"])],
        timings_ms=json.loads(row["timings_ms"]),
        feedback=Feedback(Rating(row["rating"]), row["comment"]) if row["rating"] else None,
        create_time=row["create_time"],
        end_time=row["end_time"],
    )
