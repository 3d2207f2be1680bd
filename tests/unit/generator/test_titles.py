from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.adapters.prompt_files import PromptFiles
from generator.domain.extractive import ExtractiveEngine
from generator.domain.models import Model
from generator.domain.titles import MAX_TITLE_CHARACTERS, TitleRequest, Titling, shortened
from shared.errors import AppError, Status
from tests.unit.generator.scripted_models import ScriptedModel, registry, writing

REQUEST = TitleRequest("How many unused days of annual leave carry over to the next year?", "Up to five [1].")


async def title(writer: ScriptedModel) -> str:
    return (await Titling(writing(writer), PromptFiles("title")).suggest(REQUEST)).text


@pytest.mark.parametrize(
    "written",
    ["Unused annual leave", "Title: Unused annual leave", '"Unused annual leave."', "# **Unused annual leave**", " Unused  annual leave\n"],
)
async def test_a_model_s_title_comes_without_what_models_put_around_it(written: str) -> None:
    assert await title(ScriptedModel([written])) == "Unused annual leave"


async def test_a_long_title_is_cut_at_a_word() -> None:
    cut = await title(ScriptedModel(["unused leave and what becomes of it " * 5]))
    assert cut == "unused leave and what becomes of it unused leave and what becomes of it unused…"
    assert len(cut) <= MAX_TITLE_CHARACTERS


@pytest.mark.parametrize(
    "writer",
    [
        ScriptedModel([]),
        ScriptedModel(["..."]),
        ScriptedModel(["Leave\nIt is about leave."]),
        ScriptedModel(["x" * 1000]),
        ScriptedModel(["Leave"], failure=AppError("MODEL_STREAM_CUT", Status.UNAVAILABLE, "Cut.")),
    ],
    ids=["nothing", "punctuation", "two lines", "too long", "cut"],
)
async def test_a_model_that_fails_or_writes_anything_but_a_title_is_replaced_by_the_question(writer: ScriptedModel) -> None:
    assert await title(writer) == "How many unused days of annual leave carry over to the next year"


async def test_without_a_writing_model_the_question_is_the_title() -> None:
    service = Titling(registry(Model("extractive", ExtractiveEngine())), PromptFiles("title"))
    assert (await service.suggest(TitleRequest("Quel est le préavis ?"))).text == "Quel est le préavis"


@settings(deadline=None)
@given(st.text(max_size=300))
def test_a_title_is_one_line_of_bounded_length(text: str) -> None:
    cut = shortened(text)
    assert len(cut) <= MAX_TITLE_CHARACTERS
    assert len(cut.splitlines()) <= 1
