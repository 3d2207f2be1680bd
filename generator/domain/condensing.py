"""Says a question that leans on a conversation so that it can be searched alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generator import errors
from generator.domain.fences import fenced_conversation
from generator.domain.follow_ups import completed
from generator.domain.language import detect_language
from generator.domain.language_model import LanguageModel, Message, Role
from generator.domain.models import Endpoint, ModelRegistry
from generator.domain.one_line import Line, LineLimits, written_line
from generator.domain.prompts import PromptTemplates
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
            line = None if model.writer is None else await self._written(model.writer, request, language)
        return line or Line(completed(request.question, request.history, language, errors.MAX_QUESTION_CHARACTERS))

    async def _written(self, writer: LanguageModel, request: CondenseRequest, language: str) -> Line | None:
        template = self._templates.template(language)
        user = template.user.substitute(
            conversation=fenced_conversation(request.history[-_MESSAGES_SHOWN:], _MESSAGE_CHARACTERS), question=request.question
        )
        characters = min(errors.MAX_QUESTION_CHARACTERS, max(_CHARACTERS, 2 * len(request.question)))
        limits = LineLimits(max(_TOKENS, len(request.question)), characters, _SECONDS)
        return await written_line(
            "condense", writer, [Message(Role.SYSTEM, template.system.substitute()), Message(Role.USER, user)], limits
        )
