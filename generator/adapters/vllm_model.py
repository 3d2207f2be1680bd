"""A language model that vLLM runs beside this process, in an engine process of its own."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

import structlog

from generator import errors
from generator.adapters.vllm_engine import RequestRefused, VllmSpec, engine_errors, sampling, started_engine
from generator.adapters.vllm_tokenizer import ChatTokenizer, TemplateRefused
from generator.adapters.waiting import Waiting
from generator.domain.language_model import FinishReason, Message, ModelFinished, ModelText, write_one_token

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.outputs import RequestOutput
    from vllm.v1.engine.async_llm import AsyncLLM

log = structlog.get_logger()


class VllmModel:
    """A `LanguageModel`, which refuses everything until it has been started."""

    kind = "vllm"
    counts_exactly = True

    def __init__(self, spec: VllmSpec, waiting: Waiting) -> None:
        self._spec = spec
        self._source = waiting.source
        self._waiting = waiting
        self._llm: AsyncLLM | None = None
        self._tokenizer: ChatTokenizer | None = None
        self._alive_at = time.monotonic()

    @property
    def is_dead(self) -> bool:
        """Whether the engine is gone for good."""
        return self._llm is not None and bool(self._llm.errored)

    @property
    def seconds_since_sign_of_life(self) -> float:
        """Since it last wrote something."""
        return time.monotonic() - self._alive_at

    async def start(self) -> None:
        """Load the model, which takes from seconds to many minutes.

        Raises:
            ModelCannotStart: with what to change.
        """
        began = time.monotonic()
        llm = await asyncio.to_thread(started_engine, self._source.name, self._spec)
        self._tokenizer = ChatTokenizer(llm.get_tokenizer(), self._spec.template_arguments)
        self._llm = llm
        self._alive_at = time.monotonic()
        log.info("model_loaded", model=self._source.name, seconds=round(time.monotonic() - began, 1))

    async def close(self) -> None:
        """End the engine's process."""
        engine, self._llm = self._llm, None
        if engine is not None:
            await asyncio.to_thread(engine.shutdown)

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """As the port's.

        Raises:
            AppError: MODEL_LOADING.
        """
        return self._loaded()[1].count(texts)

    async def check(self) -> None:
        await write_one_token(self)

    async def complete(
        self, messages: Sequence[Message], max_tokens: int, *, json_schema: str = ""
    ) -> AsyncGenerator[ModelText | ModelFinished, None]:
        _, tokenizer = self._loaded()
        try:
            prompt = await asyncio.to_thread(tokenizer.prompt, messages)
        except TemplateRefused:
            raise errors.messages_refused(self._source.name) from None
        room = self._spec.window_tokens - len(prompt)
        if room < 1:
            raise errors.messages_exceed_context(self._source.name, len(prompt), self._spec.window_tokens)
        answer_tokens = 0
        async with aclosing(self._outputs(prompt, min(max_tokens, room), json_schema)) as outputs:
            async for output in outputs:
                written = output.outputs[0]
                answer_tokens += len(written.token_ids)
                if written.text:
                    yield ModelText(written.text)
                if output.finished:
                    yield ModelFinished(self._reason(written.finish_reason), len(prompt), answer_tokens)
                    return
        raise errors.model_failed(self._source, "no end")

    async def _outputs(self, prompt: list[int], max_tokens: int, json_schema: str) -> AsyncGenerator[RequestOutput, None]:
        """What the engine writes, held to ``json_schema`` unless the engine cannot be: then it writes freely."""
        for schema in [json_schema, ""] if json_schema else [""]:
            try:
                async with aclosing(self._awaited(prompt, sampling(max_tokens, self._spec.temperature, schema))) as outputs:
                    async for output in outputs:
                        yield output
            except RequestRefused:
                if not schema:
                    raise errors.model_failed(self._source, "the engine refused the request") from None
                log.info("schema_not_enforced", model=self._source.name)
            else:
                return

    async def _awaited(self, prompt: list[int], parameters: SamplingParams) -> AsyncGenerator[RequestOutput, None]:
        """The engine's outputs, none of them waited for too long.

        Raises:
            RequestRefused: the engine does not take ``parameters``.
            AppError: it is full, failed, or died.
        """
        outputs = self._loaded()[0].generate({"prompt_token_ids": prompt}, parameters, uuid.uuid4().hex)
        is_first = True
        async with aclosing(outputs):
            while True:
                with engine_errors(self._source):
                    async with self._waiting.for_text(is_first=is_first):
                        output = await anext(outputs, None)
                if output is None:
                    return
                self._alive_at = time.monotonic()
                yield output
                is_first = False

    def _loaded(self) -> tuple[AsyncLLM, ChatTokenizer]:
        if self._llm is None or self._tokenizer is None:
            raise errors.model_loading(self._source)
        return self._llm, self._tokenizer

    def _reason(self, reason: str | None) -> FinishReason:
        if reason in {"stop", "length"}:
            return FinishReason(reason)
        raise errors.model_failed(self._source, reason or "no reason given")
