"""Says a question that leans on a conversation so that it can be searched alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from generator import errors
from generator.domain.fences import fenced_conversation, harmless
from generator.domain.follow_ups import completed
from generator.domain.language import detect_language
from generator.domain.language_model import LanguageModel, Message, Role
from generator.domain.models import Endpoint, ModelRegistry
from generator.domain.one_line import Line, LineLimits, written_line
from generator.domain.prompts import MESSAGE_TOKENS, PromptTemplate, PromptTemplates
from generator.domain.request_checks import check_history, check_question

# What the newest messages say decides what a question leans on; long answers say it in their first lines.
_MESSAGES_SHOWN = 8
_MESSAGE_CHARACTERS = 1_000
# A question is searched for before it is answered: nobody waits longer for better words.
_SECONDS = 10.0
_TOKENS = 200
_CHARACTERS = 800


@dataclass(frozen=True, slots=True)
class CondenseRequest:
    """A question and the conversation before it, oldest first. An empty model asks for the default."""

    question: str
    history: Sequence[Message] = ()
    model: str = ""
    endpoint: Endpoint | None = None


class Condensing:
    """Condenses with the models it was given, and by a rule where there is none or it fails."""

    def __init__(self, models: ModelRegistry, templates: PromptTemplates) -> None:
        self._models = models
        self._templates = templates

    async def condense(self, request: CondenseRequest) -> Line:
        """The question on its own feet, at most as long as a question may be; itself where there is nothing to add.

        A model that fails, takes too long or writes anything but one line is replaced by the rule.

        Raises:
            AppError: the question is empty or too long, or there is no such model.
        """
        check_question(request.question)
        check_history(request.history)
        language = detect_language(request.question)
        async with self._models.open(request.model, request.endpoint) as model:
            if not request.history:
                return Line(request.question)
            line = None if model.writer is None else await self._written(model.writer, model.limits.context, request, language)
        return line or Line(completed(request.question, request.history, language, errors.MAX_QUESTION_CHARACTERS))

    async def _written(self, writer: LanguageModel, context_tokens: int, request: CondenseRequest, language: str) -> Line | None:
        template = self._templates.template(language)
        messages = await asyncio.to_thread(_fitting, template, request, writer, context_tokens)
        if messages is None:
            return None
        characters = min(errors.MAX_QUESTION_CHARACTERS, max(_CHARACTERS, 2 * len(request.question)))
        limits = LineLimits(max(_TOKENS, len(request.question)), characters, _SECONDS)
        return await written_line("condense", writer, messages, limits)


def _fitting(template: PromptTemplate, request: CondenseRequest, writer: LanguageModel, context_tokens: int) -> list[Message] | None:
    """The prompt with as many of the newest messages as fit into ``context_tokens`` (0: any number); None if not even one does.

    Blocking: as long as counting the prompt takes, a few times over.
    """
    system = template.system.substitute()
    for count in range(min(len(request.history), _MESSAGES_SHOWN), 0, -1):
        conversation = fenced_conversation(request.history[-count:], _MESSAGE_CHARACTERS)
        user = template.user.substitute(conversation=conversation, question=harmless(request.question))
        if not context_tokens or sum(writer.count_tokens([system, user])) + 2 * MESSAGE_TOKENS <= context_tokens:
            return [Message(Role.SYSTEM, system), Message(Role.USER, user)]
    return None
