from __future__ import annotations

import asyncio
import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.domain.engine import AnswerLimits, Citation, Event, Finished, Question, SourcePassage, TextDelta
from generator.domain.extractive import ExtractiveEngine
from generator.domain.language_model import FinishReason

LEAVE = SourcePassage(
    "leave",
    "Annual leave is 26 days a year. Ask for it in the People portal. Up to five unused days carry over and lapse on 31 March.",
    "employee-handbook.pdf",
    ("Leave",),
    0.9,
)
HOTELS = SourcePassage(
    "hotels", "| Place | Limit per night |\n| --- | --- |\n| London | £165 |\n| Paris | €180 |", "policy.docx", ("Hotels",), 0.8
)
CODES = SourcePassage(
    "codes",
    "| Code | Meaning |\n| --- | --- |\n| E-11 | One path blocked |\n| E-14 | Foreign ultrasound received |",
    "hw-300-manual.md",
    ("Error codes",),
    0.7,
)
WARRANTY = SourcePassage("warranty", "The HW-300 carries a warranty of three years from delivery.", "hw-300-manual.md", ("Warranty",), 0.6)
GAUGE = SourcePassage("gauge", "The RG-20 rain gauge has a tipping bucket of 200 cm2 and costs £486.", "price-list.csv", (), 0.5)
SHED = SourcePassage("shed", "Bicycles are kept in the shed [4] behind the workshop.", "site.md", (), 0.4)
ALL = (LEAVE, HOTELS, CODES, WARRANTY, GAUGE, SHED)
WORDS = st.sampled_from(
    ["leave", "days", "[1]", "HW-300", "warranty", "Paris", "|", "\n", "- ", "# ", ". ", "how", "many", "£5", "été", ";", "31"]
)
TEXTS = st.lists(WORDS, max_size=30).map(" ".join)


def answer(question: str, passages: Sequence[SourcePassage] = ALL, language: str = "en", max_tokens: int | None = None) -> list[Event]:
    async def collect() -> list[Event]:
        return [event async for event in ExtractiveEngine().answer(Question(question, language), passages, AnswerLimits(max_tokens))]

    return asyncio.run(collect())


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def end_of(events: Sequence[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


def test_the_sentence_that_answers_is_quoted_and_cited() -> None:
    events = answer("How many unused days carry over?")
    assert text_of(events) == "Up to five unused days carry over and lapse on 31 March. [1]"
    assert Citation(1, "leave", "Up to five unused days carry over and lapse on 31 March.", 65, 121) in events
    assert end_of(events).answered


def test_a_table_row_is_read_out_with_the_names_of_its_columns() -> None:
    assert text_of(answer("What is the limit per night in Paris?")).startswith("Place: Paris; Limit per night: €180 [1]")


def test_a_row_that_carries_its_column_names_is_read_out_alike() -> None:
    rows = SourcePassage(
        "prices", "- product: HW-300 | list_price_gbp: 1890.00\n- product: HW-300 Marine | list_price_gbp: 2460.00", score=0.9
    )
    assert "product: HW-300 Marine; list price gbp: 2460.00 [1]" in text_of(answer("What is the price of the HW-300 Marine?", (rows,)))


def test_an_error_code_is_answered_by_its_own_row() -> None:
    assert text_of(answer("HW-300 error E-14")) == "Code: E-14; Meaning: Foreign ultrasound received [1]"


@pytest.mark.parametrize(
    "question",
    [
        "How long is the warranty of the RG-20 rain gauge?",  # the warranty is another instrument's
        "What does error E-99 mean?",  # no such code
        "What is the limit per night in Tokyo for astronauts?",
        "What is the capital of Norway?",
    ],
)
def test_what_the_passages_do_not_say_is_refused(question: str) -> None:
    events = answer(question)
    assert text_of(events) == "I could not find this in the documents."
    assert not end_of(events).answered


@pytest.mark.parametrize("passages", [(), (SourcePassage("blank", " \n "),), (SourcePassage("title", "# Leave"),)])
def test_nothing_to_quote_is_refused_in_the_language_asked_for(passages: Sequence[SourcePassage]) -> None:
    events = answer("Combien de jours de congé ?", passages, "fr")
    assert text_of(events) == "Je n'ai pas trouvé cette information dans les documents."
    assert not end_of(events).answered


def test_a_question_of_function_words_alone_is_refused() -> None:
    assert not end_of(answer("What is it about?")).answered


def test_what_looks_like_a_marker_in_a_passage_does_not_become_one() -> None:
    events = answer("Where are bicycles kept?")
    assert text_of(events) == "Bicycles are kept in the shed (4) behind the workshop. [1]"
    citation = next(event for event in events if isinstance(event, Citation))
    assert citation.quote == SHED.text


def test_a_length_limit_ends_the_answer_between_sentences_or_within_the_first() -> None:
    limited = answer("How many unused days carry over?", max_tokens=4)
    assert text_of(limited) == "Up to five unused [1]"
    assert end_of(limited).reason is FinishReason.LENGTH


def test_sentences_of_one_passage_share_a_marker_whose_quote_holds_them() -> None:
    passage = SourcePassage("drill", "Fire drills take place in March. Fire drills also take place in October.")
    events = answer("When do fire drills take place?", (passage,))
    assert text_of(events).count("[1]") == 2
    assert [event.quote for event in events if isinstance(event, Citation)] == [passage.text]


@pytest.mark.parametrize("score", [math.nan, math.inf, -5.0, 7.0])
def test_a_strange_passage_score_changes_nothing(score: float) -> None:
    strange = SourcePassage(LEAVE.passage_id, LEAVE.text, score=score)
    assert "five unused days" in text_of(answer("How many unused days carry over?", (strange, SHED)))


async def test_a_large_choice_leaves_the_event_loop_free() -> None:
    many = [SourcePassage(str(number), f"Day {number} of leave carries over. " * 40, score=0.5) for number in range(200)]
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    events = [event async for event in ExtractiveEngine().answer(Question("Which days of leave carry over?", "en"), many, AnswerLimits())]
    ticking.cancel()
    assert end_of(events).answered
    assert ticks > 10


@settings(max_examples=60)
@given(TEXTS, st.lists(TEXTS, max_size=5), st.sampled_from(["en", "fr", "xx"]), st.one_of(st.none(), st.integers(1, 30)))
def test_every_answer_is_whole_and_every_quote_true(question: str, texts: list[str], language: str, max_tokens: int | None) -> None:
    passages = [SourcePassage(f"p{number}", text, score=0.5) for number, text in enumerate(texts)]
    events = answer(question, passages, language, max_tokens)
    assert [event for event in events if isinstance(event, Finished)] == [events[-1]]
    cited = {event.marker: event for event in events if isinstance(event, Citation)}
    assert {int(number) for number in re.findall(r"\[(\d+)\]", text_of(events))} == set(cited)
    assert list(cited) == list(range(1, len(cited) + 1))
    by_id = {passage.passage_id: passage.text for passage in passages}
    assert all(by_id[citation.passage_id][citation.start : citation.end] == citation.quote != "" for citation in cited.values())
    assert bool(cited) == end_of(events).answered


@pytest.mark.parametrize("question", ["How many days of leave and what is the limit per night in Paris?", "HW-300 error E-14"])
def test_a_choice_is_the_same_in_every_process(question: str) -> None:
    imports = "from generator.domain.extractive import select; from tests.unit.generator.test_extractive import ALL"
    code = f"{imports}; print(select({question!r}, ALL, 'en'))"
    environment = {"PATH": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = partial(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run(env={**environment, "PYTHONHASHSEED": "1"}).stdout == run(env={**environment, "PYTHONHASHSEED": "2"}).stdout
