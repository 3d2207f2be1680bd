"""Names a conversation by its first question and answer."""

from __future__ import annotations

from dataclasses import dataclass

from generator.domain.fences import fenced_conversation
from generator.domain.language import detect_language
from generator.domain.language_model import LanguageModel, Message, Role
from generator.domain.models import Endpoint, ModelRegistry
from generator.domain.one_line import Line, LineLimits, written_line
from generator.domain.prompts import PromptTemplates
from generator.domain.request_checks import check_question

MAX_TITLE_CHARACTERS = 80
_MESSAGE_CHARACTERS = 1_500
# A title of more than this is a text that missed its task; up to there it is cut.
_LIMITS = LineLimits(tokens=64, characters=300, seconds=15.0)
_ENDINGS = " .?!,;:…\u00a0\u202f"


@dataclass(frozen=True, slots=True)
class TitleRequest:
    """The first question of a conversation and its answer. An empty model asks for the default."""

    question: str
    answer: str = ""
    model: str = ""
    endpoint: Endpoint | None = None


class Titling:
    """Names with the models it was given, and by the question itself where there is none or it fails."""

    def __init__(self, models: ModelRegistry, templates: PromptTemplates) -> None:
        self._models = models
        self._templates = templates

    async def suggest(self, request: TitleRequest) -> Line:
        """A title of one line and at most 80 characters.

        Raises:
            AppError: the question is empty or too long, or there is no such model.
        """
        check_question(request.question)
        async with self._models.open(request.model, request.endpoint) as model:
            line = None if model.writer is None else await self._written(model.writer, request)
        title = shortened(line.text) if line else ""
        if line and title:
            return Line(title, line.prompt_tokens, line.answer_tokens)
        return Line(shortened(request.question) or request.question.strip()[:MAX_TITLE_CHARACTERS])

    async def _written(self, writer: LanguageModel, request: TitleRequest) -> Line | None:
        template = self._templates.template(detect_language(request.question))
        conversation = [Message(Role.USER, request.question), Message(Role.ASSISTANT, request.answer)]
        user = template.user.substitute(conversation=fenced_conversation(conversation, _MESSAGE_CHARACTERS))
        messages = [Message(Role.SYSTEM, template.system.substitute()), Message(Role.USER, user)]
        return await written_line("title", writer, messages, _LIMITS)


def shortened(text: str) -> str:
    """``text`` on one line without its last punctuation, cut at a word where it is longer than a title."""
    line = " ".join(text.split()).strip(_ENDINGS)
    if len(line) <= MAX_TITLE_CHARACTERS:
        return line
    cut = line[: MAX_TITLE_CHARACTERS - 1]
    if not line[len(cut)].isspace() and " " in cut:
        cut = cut.rpartition(" ")[0]
    return cut.rstrip(_ENDINGS) + "…"
