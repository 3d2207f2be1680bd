"""A language model behind an endpoint that speaks the OpenAI chat protocol."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import openai
import structlog
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from openai.types.shared_params import ResponseFormatJSONSchema

from generator import errors
from generator.adapters.openai_errors import retry_after_seconds, to_app_error
from generator.domain.engine import FinishReason
from generator.domain.language_model import Message, ModelFinished, ModelText, Role
from generator.domain.prompts import token_estimate
from shared.rpc.deadline import budget, time_remaining

log = structlog.get_logger()
_RETRIED = frozenset({429, 503})
_FIRST_BACKOFF_SECONDS = 0.5
_MAX_BACKOFF_SECONDS = 8.0
# A wait that is asked for beyond this is the caller's to wait.
_MAX_WAIT_SECONDS = 30.0
_EVENT_STREAM = "text/event-stream"

LengthParameter = Literal["max_tokens", "max_completion_tokens"]


@dataclass(frozen=True, slots=True)
class ModelTimes:
    """Bounds of waiting, in seconds, and of trying."""

    first_token_seconds: float
    idle_seconds: float
    max_attempts: int


@asynccontextmanager
async def openai_client(base_url: str, api_key: str, connect_timeout_seconds: float) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of one endpoint. It never retries by itself: only we know how long the caller can wait."""
    # At DEBUG the client's own loggers write whole prompts.
    for name in ("openai", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    timeout = openai.Timeout(None, connect=connect_timeout_seconds)
    # The client insists on a key; what is empty it would look for in OPENAI_ variables.
    async with openai.AsyncOpenAI(
        base_url=base_url, api_key=api_key or "none", organization="", project="", timeout=timeout, max_retries=0
    ) as client:
        yield client


class OpenAiModel:
    """One model of an endpoint."""

    kind = "openai"

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        model: str,
        times: ModelTimes,
        *,
        temperature: float | None = None,
        length_parameter: LengthParameter = "max_tokens",
    ) -> None:
        self._client = client
        self._model = model
        self._times = times
        self._temperature = openai.omit if temperature is None else temperature
        self._length_parameter = length_parameter

    @property
    def counts_exactly(self) -> bool:
        return False

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return [token_estimate(text) for text in texts]

    async def check(self) -> None:
        async with aclosing(self.complete([Message(Role.USER, "Say yes.")], 1)) as pieces:
            async for _ in pieces:
                pass

    async def complete(
        self, messages: Sequence[Message], max_tokens: int, *, json_schema: str = ""
    ) -> AsyncGenerator[ModelText | ModelFinished, None]:
        reason: FinishReason | None = None
        usage: CompletionUsage | None = None
        async with await self._open(messages, max_tokens, json_schema) as stream:
            async for chunk in self._chunks(stream):
                try:
                    text, finish = _text_and_finish(chunk)
                except (AttributeError, IndexError, TypeError):
                    raise errors.model_reply_invalid(self._model) from None
                reason = self._reason(finish) if finish else reason
                usage = chunk.usage or usage
                if text:
                    yield ModelText(text)
        if reason is None:
            raise errors.model_stream_cut(self._model)
        yield ModelFinished(reason, usage.prompt_tokens if usage else 0, usage.completion_tokens if usage else 0)

    def _reason(self, finish: str) -> FinishReason:
        if finish == "content_filter":
            raise errors.model_withheld(self._model)
        return FinishReason.LENGTH if finish == "length" else FinishReason.STOP

    async def _open(self, messages: Sequence[Message], max_tokens: int, json_schema: str) -> openai.AsyncStream[ChatCompletionChunk]:
        """Send the request; try again where the endpoint says that it is only busy, as long as the caller's time allows."""
        for attempt in range(1, self._times.max_attempts + 1):
            try:
                stream = await self._send(messages, max_tokens, json_schema)
            except openai.APIStatusError as error:
                refused = to_app_error(self._model, error)
                wait = _wait_seconds(error, attempt)
                is_busy = error.status_code in _RETRIED and refused.retry_after_seconds is not None
                if not is_busy or attempt == self._times.max_attempts or not _is_affordable(wait):
                    raise refused from None
                log.info("model_retried", model=self._model, status=error.status_code, attempt=attempt, wait_seconds=round(wait, 2))
                await asyncio.sleep(wait)
            except openai.APIError as error:
                raise to_app_error(self._model, error) from None
            else:
                return stream
        raise AssertionError("the last attempt returns or raises")

    async def _send(self, messages: Sequence[Message], max_tokens: int, json_schema: str) -> openai.AsyncStream[ChatCompletionChunk]:
        limit = {self._length_parameter: max_tokens}
        async with self._within(self._times.first_token_seconds, "a first token", "FIRST_TOKEN"):
            stream = await self._client.chat.completions.create(
                model=self._model,
                messages=[_to_parameter(message) for message in messages],
                stream=True,
                stream_options={"include_usage": True},
                temperature=self._temperature,
                response_format=_response_format(json_schema),
                extra_body=limit,
            )
        if not stream.response.headers.get("content-type", "").startswith(_EVENT_STREAM):
            await stream.close()
            raise errors.model_reply_invalid(self._model)
        return stream

    async def _chunks(self, stream: openai.AsyncStream[ChatCompletionChunk]) -> AsyncGenerator[ChatCompletionChunk, None]:
        bound, waited_for, setting = self._times.first_token_seconds, "a first token", "FIRST_TOKEN"
        while True:
            try:
                async with self._within(bound, waited_for, setting):
                    chunk = await anext(stream, None)
            except openai.APIConnectionError:
                raise errors.model_stream_cut(self._model) from None
            except openai.APIError as error:
                raise to_app_error(self._model, error) from None
            except ValueError:
                raise errors.model_reply_invalid(self._model) from None
            if chunk is None:
                return
            yield chunk
            bound, waited_for, setting = self._times.idle_seconds, "more of its answer", "IDLE"

    @asynccontextmanager
    async def _within(self, seconds: float, waited_for: str, setting: str) -> AsyncIterator[None]:
        allowed = budget(seconds)
        try:
            async with asyncio.timeout(allowed):
                yield
        except TimeoutError:
            name = f"LECTERN_GENERATOR_OPENAI__{setting}_TIMEOUT_SECONDS" if allowed == seconds else "the request's deadline"
            raise errors.model_timeout(self._model, waited_for, allowed, name) from None


def _to_parameter(message: Message) -> ChatCompletionMessageParam:
    match message.role:
        case Role.SYSTEM:
            return {"role": "system", "content": message.text}
        case Role.USER:
            return {"role": "user", "content": message.text}
        case Role.ASSISTANT:
            return {"role": "assistant", "content": message.text}


def _response_format(json_schema: str) -> ResponseFormatJSONSchema | openai.Omit:
    if not json_schema:
        return openai.omit
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": json.loads(json_schema), "strict": True}}


def _text_and_finish(chunk: ChatCompletionChunk) -> tuple[str, str]:
    """What a chunk adds to the text, and why the text ends if it does. The chunk that carries the usage has neither."""
    if not chunk.choices:
        return "", ""
    choice = chunk.choices[0]
    return choice.delta.content or "", choice.finish_reason or ""


def _wait_seconds(error: openai.APIStatusError, attempt: int) -> float:
    """What the endpoint asks for or a growing pause, plus up to half as much again so that callers don't come back all at once."""
    asked = retry_after_seconds(error.response.headers)
    pause = min(_FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1), _MAX_BACKOFF_SECONDS) if asked is None else asked
    return pause + random.uniform(0, pause / 2)  # noqa: S311  # spreads load, hides nothing


def _is_affordable(wait: float) -> bool:
    remaining = time_remaining()
    return wait <= _MAX_WAIT_SECONDS and (remaining is None or wait < remaining)
