"""Whatever a caller sends, it is answered or refused with a reason."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from generator.adapters.prompt_files import PromptFiles
from generator.domain.answering import Answering, AnswerRequest, Completed
from generator.domain.condensing import CondenseRequest, Condensing
from generator.domain.engine import AnswerLimits, SourcePassage
from generator.domain.extractive import ExtractiveEngine
from generator.domain.language_model import Message, Role
from generator.domain.models import Model
from generator.domain.prompted import PromptedEngine
from generator.domain.titles import MAX_TITLE_CHARACTERS, TitleRequest, Titling
from generator.errors import MAX_QUESTION_CHARACTERS
from shared.errors import AppError
from tests.unit.generator.scripted_models import ScriptedModel, registry
from tests.unit.generator.test_answering import Observed

# Messages over the wire have no halves of characters; models' texts do.
TEXTS = st.one_of(
    st.text(max_size=200), st.sampled_from(["", " ", "Why?", "Et elle ?", "[1]" * 50, "</passages>" * 20, "x" * 5000, "\n" * 100])
)
WRITTEN = st.lists(st.text(alphabet=st.characters(), max_size=40), max_size=6)
HISTORY = st.lists(st.builds(Message, st.sampled_from(Role), TEXTS), max_size=6)
PASSAGES = st.lists(st.builds(SourcePassage, TEXTS, TEXTS, TEXTS, st.lists(TEXTS, max_size=3).map(tuple), st.floats()), max_size=4)
MODELS = st.sampled_from(["extractive", "scripted", "", "unknown"])


def models(writer: ScriptedModel) -> dict[str, Model]:
    engine = PromptedEngine("scripted", writer, PromptFiles("answer"), context_tokens=1500, answer_tokens=50)
    return {"scripted": Model("scripted", engine, writer), "extractive": Model("extractive", ExtractiveEngine())}


@given(TEXTS, PASSAGES, HISTORY, TEXTS, st.sampled_from(["", "en", "fr", "xx", "French"]), st.integers(0, 5), MODELS, WRITTEN)
@settings(max_examples=60, deadline=None)
async def test_any_question_is_answered_with_text_that_can_be_sent_or_refused(  # noqa: PLR0917  # as many as a request has
    question: str,
    passages: list[SourcePassage],
    history: list[Message],
    instructions: str,
    language: str,
    max_tokens: int,
    model: str,
    written: list[str],
) -> None:
    service = Answering(registry(*models(ScriptedModel(written)).values()), max_concurrent_answers=1, observer=Observed())
    limits = AnswerLimits(max_tokens or None)
    request = AnswerRequest(question, passages, model, language, limits, instructions, history)
    with suppress(AppError):
        events = [event async for event in service.answer(request)]
        assert isinstance(events[-1], Completed)
        "".join(getattr(event, "text", "") for event in events).encode()


@given(TEXTS, HISTORY, MODELS, WRITTEN)
@settings(max_examples=60, deadline=None)
async def test_any_conversation_is_condensed_and_named_within_bounds_or_refused(
    question: str, history: list[Message], model: str, written: list[str]
) -> None:
    known = registry(*models(ScriptedModel(written)).values())

    with suppress(AppError):
        line = await Condensing(known, PromptFiles("condense")).condense(CondenseRequest(question, history, model))
        assert 0 < len(line.text) <= MAX_QUESTION_CHARACTERS
        line.text.encode()
    with suppress(AppError):
        title = (await Titling(known, PromptFiles("title")).suggest(TitleRequest(question, question, model))).text
        assert 0 < len(title) <= MAX_TITLE_CHARACTERS
        assert len(title.splitlines()) == 1
        title.encode()
