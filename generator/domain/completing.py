"""Continues conversations: messages in, text out, held to a JSON schema where the caller gives one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from generator import errors
from generator.domain.engine import TextDelta
from generator.domain.json_schema import JsonSchema, SchemaInvalid, without_fence
from generator.domain.language_model import FinishReason, LanguageModel, Message, ModelFinished, Role
from generator.domain.models import Endpoint, Model, ModelRegistry

# A model that misses a schema three times will miss it again.
SCHEMA_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What a model is to continue. An empty model asks for the default, 0 tokens for its own bound, an empty schema for any text."""

    messages: Sequence[Message]
    model: str = ""
    max_tokens: int = 0
    json_schema: str = ""
    endpoint: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class CompletionFinished:
    """The end of a completion; tokens are those of all attempts together.

    Attributes:
        first_delta_seconds: until the first text; the whole time if there was none.
    """

    model: str
    reason: FinishReason
    prompt_tokens: int
    answer_tokens: int
    first_delta_seconds: float
    total_seconds: float


class Completing:
    """Completes with the models it was given."""

    def __init__(self, models: ModelRegistry, now: Callable[[], float] = time.perf_counter) -> None:
        self._models = models
        self._now = now

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[TextDelta | CompletionFinished, None]:
        """Stream the text and then one `CompletionFinished`. Text that a schema binds comes in one piece, once it satisfies it.

        Closing the iterator stops the model.

        Raises:
            AppError: the request is wrong, the model only quotes or failed, or it missed the schema too often.
        """
        schema = _checked(request)
        started = self._now()
        first_delta: float | None = None
        async with self._models.open(request.model, request.endpoint) as model:
            writer = model.written_by()
            max_tokens = min(request.max_tokens or model.limits.answer, model.limits.answer)
            await _check_context(model, writer, request.messages)
            asked = _Asked(writer, request.messages, max_tokens)
            written = asked.plain() if schema is None else asked.structured(model.name, request.json_schema, schema)
            async with aclosing(written) as events:
                async for event in events:
                    elapsed = self._now() - started
                    first_delta = elapsed if first_delta is None else first_delta
                    if isinstance(event, TextDelta):
                        yield event
                    else:
                        yield CompletionFinished(model.name, event.reason, event.prompt_tokens, event.answer_tokens, first_delta, elapsed)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A model and what it is asked to continue."""

    writer: LanguageModel
    messages: Sequence[Message]
    max_tokens: int

    async def plain(self) -> AsyncGenerator[TextDelta | ModelFinished, None]:
        async with aclosing(self.writer.complete(self.messages, self.max_tokens)) as pieces:
            async for piece in pieces:
                yield piece if isinstance(piece, ModelFinished) else TextDelta(piece.text)

    async def structured(self, name: str, json_schema: str, schema: JsonSchema) -> AsyncGenerator[TextDelta | ModelFinished, None]:
        """Ask until the text satisfies ``schema``, telling the model each time what was wrong."""
        messages = self.messages
        prompt_tokens = answer_tokens = 0
        for _ in range(SCHEMA_ATTEMPTS):
            text, finished = await self._whole(messages, json_schema)
            prompt_tokens += finished.prompt_tokens
            answer_tokens += finished.answer_tokens
            text = without_fence(text)
            fault = await asyncio.to_thread(schema.fault_of, text)
            if fault is None:
                yield TextDelta(text)
                yield ModelFinished(finished.reason, prompt_tokens, answer_tokens)
                return
            if finished.reason is FinishReason.LENGTH:
                raise errors.output_cut(name, self.max_tokens)
            messages = [*self.messages, Message(Role.ASSISTANT, text), Message(Role.USER, _correction(json_schema, fault))]
        raise errors.output_invalid(name, SCHEMA_ATTEMPTS)

    async def _whole(self, messages: Sequence[Message], json_schema: str) -> tuple[str, ModelFinished]:
        texts: list[str] = []
        async with aclosing(self.writer.complete(messages, self.max_tokens, json_schema=json_schema)) as pieces:
            async for piece in pieces:
                if isinstance(piece, ModelFinished):
                    return "".join(texts), piece
                texts.append(piece.text)
        raise AssertionError("a model's text ends with ModelFinished")


def _correction(json_schema: str, fault: str) -> str:
    return f"That is wrong: {fault}. Reply again, with nothing but JSON that satisfies this schema:\n{json_schema}"


def _checked(request: CompletionRequest) -> JsonSchema | None:
    """The request's schema, if it has one and all else is right."""
    if not request.messages or request.messages[-1].role is not Role.USER:
        raise errors.last_message_not_users()
    if sum(len(message.text) for message in request.messages) > errors.MAX_MESSAGE_CHARACTERS:
        raise errors.messages_too_long()
    if not any(message.text.strip() for message in request.messages):
        raise errors.empty_messages()
    try:
        return JsonSchema(request.json_schema) if request.json_schema else None
    except SchemaInvalid as fault:
        raise errors.json_schema_invalid(str(fault)) from None


async def _check_context(model: Model, writer: LanguageModel, messages: Sequence[Message]) -> None:
    if not model.limits.context:
        return
    counts = await asyncio.to_thread(writer.count_tokens, [message.text for message in messages])
    if sum(counts) > model.limits.context:
        raise errors.messages_exceed_context(model.name, sum(counts), model.limits.context)
