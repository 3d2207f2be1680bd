"""Answers by asking a language model, and checks what it writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing

from generator import errors
from generator.domain.checked_text import CheckedText, links_of
from generator.domain.engine import AnswerLimits, Event, Finished, Question, SourcePassage, TextDelta
from generator.domain.language_model import FinishReason, LanguageModel, ModelFinished
from generator.domain.prompts import (
    MAX_CHARACTERS_PER_TOKEN,
    AnswerPrompt,
    InstructionsTooLong,
    PromptTemplates,
    QuestionTooLong,
    answer_prompt,
)
from generator.domain.refusals import is_refusal, refusal


class PromptedEngine:
    """Gives a language model the passages and streams what it writes, with every marker and link checked."""

    def __init__(self, name: str, model: LanguageModel, templates: PromptTemplates, *, context_tokens: int, answer_tokens: int) -> None:
        """Prompts take at most ``context_tokens``, answers at most ``answer_tokens``."""
        self._name = name
        self._model = model
        self._templates = templates
        self._context_tokens = context_tokens
        self._answer_tokens = answer_tokens

    @property
    def kind(self) -> str:
        return self._model.kind

    async def answer(self, question: Question, passages: Sequence[SourcePassage], limits: AnswerLimits) -> AsyncGenerator[Event, None]:
        asked, links = await asyncio.to_thread(self._prompt, question, passages)
        if not asked.passages:
            yield TextDelta(refusal(question.language))
            yield Finished(answered=False)
            return
        text = CheckedText(asked.passages, links, question.language)
        max_tokens = min(limits.max_tokens or self._answer_tokens, self._answer_tokens)
        async with aclosing(self._pieces(asked, max_tokens)) as pieces:
            async for piece in pieces:
                for event in text.finish() if isinstance(piece, ModelFinished) else text.feed(piece):
                    yield event
                if isinstance(piece, ModelFinished):
                    yield self._finished(piece, text)

    async def _pieces(self, asked: AnswerPrompt, max_tokens: int) -> AsyncGenerator[str | ModelFinished, None]:
        """What the model writes, up to the length that ``max_tokens`` can have at most, should it not keep to them."""
        room = max_tokens * MAX_CHARACTERS_PER_TOKEN
        async with aclosing(self._model.complete(asked.messages, max_tokens)) as pieces:
            async for piece in pieces:
                if isinstance(piece, ModelFinished):
                    yield piece
                    return
                yield piece.text[:room]
                room -= len(piece.text)
                if room < 0:
                    yield ModelFinished(FinishReason.LENGTH)
                    return

    def _prompt(self, question: Question, passages: Sequence[SourcePassage]) -> tuple[AnswerPrompt, Collection[str]]:
        """The prompt, and the links that its answer may show."""
        template = self._templates.template(question.language)
        try:
            asked = answer_prompt(template, question, passages, self._context_tokens, self._model.count_tokens)
        except QuestionTooLong:
            raise errors.question_exceeds_context(self._name) from None
        except InstructionsTooLong as error:
            raise errors.instructions_exceed_context(self._name, error.bound) from None
        return asked, links_of(asked.passages.values())

    def _finished(self, piece: ModelFinished, text: CheckedText) -> Finished:
        if not any(map(str.isalnum, text.beginning)):
            raise errors.model_answer_empty(self._name, length_reached=piece.reason is FinishReason.LENGTH)
        return Finished(
            answered=bool(text.cited) or not is_refusal(text.beginning),
            reason=piece.reason,
            prompt_tokens=piece.prompt_tokens,
            answer_tokens=piece.answer_tokens,
            dropped_markers=text.dropped_markers,
            removed_links=text.removed_links,
        )
