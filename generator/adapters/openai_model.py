"""A language model behind an endpoint that speaks the OpenAI chat protocol."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import openai
import structlog

from generator import errors
from generator.adapters.guarded_transport import GuardedTransport
from generator.adapters.openai_errors import retry_after_seconds, to_app_error
from generator.adapters.waiting import Waiting
from generator.domain.language_model import FinishReason, Message, ModelFinished, ModelText, write_one_token
from generator.domain.prompts import token_estimate
from shared.networks import AddressRefused, Network
from shared.request_id import HTTP_HEADER, current_request_id
from shared.rpc.deadline import time_remaining

log = structlog.get_logger()
_RETRIED = frozenset({429, 503})
_FIRST_BACKOFF_SECONDS = 0.5
_MAX_BACKOFF_SECONDS = 8.0
# A wait that is asked for beyond this is the caller's to wait.
_MAX_WAIT_SECONDS = 30.0
_EVENT_STREAM = "text/event-stream"

LengthParameter = Literal["max_tokens", "max_completion_tokens"]


@asynccontextmanager
async def openai_client(
    base_url: str, api_key: str, connect_timeout_seconds: float, allowed_networks: Sequence[Network] | None = None
) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of one endpoint. It follows no redirect, and never retries by itself: only we know how long the caller can wait.

    Args:
        base_url: where ``/chat/completions`` begins.
        api_key: empty for an endpoint that wants none.
        connect_timeout_seconds: bound of connecting.
        allowed_networks: None for an address that the operator gave; else only public addresses and these may be connected to, and no
            proxy of the environment is used.
    """
    # At DEBUG the client's own loggers write whole prompts.
    for name in ("openai", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    is_trusted = allowed_networks is None
    http_client = openai.DefaultAsyncHttpxClient(
        timeout=openai.Timeout(None, connect=connect_timeout_seconds),
        transport=None if allowed_networks is None else GuardedTransport(allowed_networks, openai.DEFAULT_CONNECTION_LIMITS),
        follow_redirects=False,
        trust_env=is_trusted,
    )
    # The client insists on a key; what is empty it would look for in OPENAI_ variables.
    async with openai.AsyncOpenAI(
        base_url=base_url, api_key=api_key or "none", organization="", project="", http_client=http_client, max_retries=0
    ) as client:
        yield client


class OpenAiModel:
    """One model of an endpoint."""

    kind = "openai"

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        model: str,
        waiting: Waiting,
        *,
        max_attempts: int,
        temperature: float | None = None,
        length_parameter: LengthParameter = "max_tokens",
    ) -> None:
        """Ask for what the endpoint calls ``model``, at most ``max_attempts`` times where it is only busy."""
        self._client = client
        self._model = model
        self._source = waiting.source
        self._waiting = waiting
        self._max_attempts = max_attempts
        self._temperature = temperature
        self._length_parameter = length_parameter

    @property
    def counts_exactly(self) -> bool:
        return False

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return [token_estimate(text) for text in texts]

    async def check(self) -> None:
        await write_one_token(self)

    async def complete(
        self, messages: Sequence[Message], max_tokens: int, *, json_schema: str = ""
    ) -> AsyncGenerator[ModelText | ModelFinished, None]:
        reason: FinishReason | None = None
        usage = (0, 0)
        async with await self._open(messages, max_tokens, json_schema) as stream:
            async for chunk in self._chunks(stream):
                try:
                    text, finish = _text_and_finish(chunk)
                    usage = _usage(chunk) or usage
                except (AttributeError, LookupError, TypeError, ValueError):
                    raise errors.model_reply_invalid(self._source) from None
                reason = self._reason(finish) if finish else reason
                if text:
                    yield ModelText(text)
        if reason is None:
            raise errors.model_stream_cut(self._source)
        yield ModelFinished(reason, *usage)

    def _reason(self, finish: str) -> FinishReason:
        if finish == "content_filter":
            raise errors.model_withheld(self._source)
        return FinishReason.LENGTH if finish == "length" else FinishReason.STOP

    async def _open(self, messages: Sequence[Message], max_tokens: int, json_schema: str) -> openai.AsyncStream[object]:
        """Send the request; try again where the endpoint says that it is only busy, as long as the caller's time allows."""
        for attempt in range(1, self._max_attempts + 1):
            try:
                stream = await self._send(messages, max_tokens, json_schema)
            except openai.APIStatusError as error:
                refused = to_app_error(self._source, error)
                wait = _wait_seconds(error, attempt)
                is_busy = error.status_code in _RETRIED and refused.retry_after_seconds is not None
                if not is_busy or attempt == self._max_attempts or not _is_affordable(wait):
                    raise refused from None
                log.info("model_retried", model=self._source.name, status=error.status_code, attempt=attempt, wait_seconds=round(wait, 2))
                await asyncio.sleep(wait)
            except openai.APIError as error:
                raise to_app_error(self._source, error) from None
            except AddressRefused:
                raise errors.endpoint_refused() from None
            else:
                return stream
        raise AssertionError("the last attempt returns or raises")

    async def _send(self, messages: Sequence[Message], max_tokens: int, json_schema: str) -> openai.AsyncStream[object]:
        body: dict[str, object] = {
            "model": self._model,
            "messages": [{"role": message.role.value, "content": message.text} for message in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            self._length_parameter: max_tokens,
        }
        if self._temperature is not None:
            body["temperature"] = self._temperature
        if json_schema:
            body["response_format"] = _response_format(json_schema)
        headers = {HTTP_HEADER: current_request_id()} if current_request_id() else {}
        async with self._waiting.for_text(is_first=True):
            # Chunks as the JSON that they are: the client's own types of them cost more than all else that is done with a word.
            stream = await self._client.post(
                "/chat/completions",
                cast_to=object,
                body=body,
                options={"headers": headers},
                stream=True,
                stream_cls=openai.AsyncStream[object],
            )
        if not stream.response.headers.get("content-type", "").startswith(_EVENT_STREAM):
            await stream.close()
            raise errors.model_reply_invalid(self._source)
        return stream

    async def _chunks(self, stream: openai.AsyncStream[object]) -> AsyncGenerator[Any, None]:
        is_first = True
        while True:
            try:
                async with self._waiting.for_text(is_first=is_first):
                    chunk = await anext(stream, None)
            except openai.APIConnectionError:
                raise errors.model_stream_cut(self._source) from None
            except openai.APIError as error:
                raise to_app_error(self._source, error) from None
            except ValueError:
                raise errors.model_reply_invalid(self._source) from None
            if chunk is None:
                return
            yield chunk
            is_first = False


def _response_format(json_schema: str) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": json.loads(json_schema), "strict": True}}


def _text_and_finish(chunk: Any) -> tuple[str, str]:
    """What a chunk adds to the text, and why the text ends if it does. The chunk that carries the usage has neither."""
    if not chunk["choices"]:
        return "", ""
    choice = chunk["choices"][0]
    return str(choice["delta"].get("content") or ""), str(choice.get("finish_reason") or "")


def _usage(chunk: Any) -> tuple[int, int] | None:
    """Tokens of the prompt and of the answer, in the chunk that has them."""
    usage = chunk.get("usage")
    return (int(usage["prompt_tokens"]), int(usage["completion_tokens"])) if usage else None


def _wait_seconds(error: openai.APIStatusError, attempt: int) -> float:
    """What the endpoint asks for or a growing pause, plus up to half as much again so that callers don't come back all at once."""
    asked = retry_after_seconds(error.response.headers)
    pause = min(_FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1), _MAX_BACKOFF_SECONDS) if asked is None else asked
    return pause + random.uniform(0, pause / 2)  # noqa: S311  # spreads load, hides nothing


def _is_affordable(wait: float) -> bool:
    remaining = time_remaining()
    return wait <= _MAX_WAIT_SECONDS and (remaining is None or wait < remaining)
