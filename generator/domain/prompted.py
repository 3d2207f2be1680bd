"""Answers by asking a language model, and checks what it cites."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from generator import errors
from generator.domain.citations import CitationChecker
from generator.domain.engine import AnswerLimits, Event, Finished, FinishReason, SourcePassage, TextDelta
from generator.domain.language_model import LanguageModel, ModelFinished
from generator.domain.prompts import PassagePrompt, PromptTemplates, QuestionTooLong, passage_prompt
from generator.domain.refusals import is_refusal, refusal

# A refusal is told by how the text begins.
_BEGINNING_CHARACTERS = 400


class PromptedEngine:
    """Gives a language model the passages and streams what it writes, with every marker checked."""

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

    async def answer(
        self, question: str, passages: Sequence[SourcePassage], language: str, limits: AnswerLimits
    ) -> AsyncGenerator[Event, None]:
        asked = self._prompt(question, passages, language)
        if not asked.passages:
            yield TextDelta(refusal(language))
            yield Finished(answered=False)
            return
        checker = CitationChecker(asked.passages, language)
        beginning = ""
        max_tokens = min(limits.max_tokens or self._answer_tokens, self._answer_tokens)
        async with aclosing(self._model.complete(asked.messages, max_tokens)) as pieces:
            async for piece in pieces:
                for event in checker.finish() if isinstance(piece, ModelFinished) else checker.feed(piece.text):
                    if isinstance(event, TextDelta) and len(beginning) < _BEGINNING_CHARACTERS:
                        beginning += event.text
                    yield event
                if isinstance(piece, ModelFinished):
                    yield self._finished(piece, checker, beginning)
                    return

    def _prompt(self, question: str, passages: Sequence[SourcePassage], language: str) -> PassagePrompt:
        try:
            return passage_prompt(self._templates.template(language), question, passages, language, self._context_tokens)
        except QuestionTooLong:
            raise errors.question_exceeds_context(self._name) from None

    def _finished(self, piece: ModelFinished, checker: CitationChecker, beginning: str) -> Finished:
        if not beginning.strip():
            raise errors.model_answer_empty(self._name, length_reached=piece.reason is FinishReason.LENGTH)
        answered = bool(checker.cited) or not is_refusal(beginning)
        return Finished(answered, piece.reason, piece.prompt_tokens, piece.answer_tokens, checker.dropped_markers)
