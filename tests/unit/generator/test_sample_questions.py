"""The extractive engine on the sample library: what share it answers, and what it rightly refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from generator.domain.engine import AnswerLimits, SourcePassage, TextDelta
from generator.domain.extractive import select, written
from tests.unit.generator.sample_passages import SAMPLES, found, library, one_line, questions, with_score

PASSAGES_GIVEN = 8
QUESTIONS = (SAMPLES / "questions.yaml", Path(__file__).with_name("further_questions.yaml"))


def given(question: dict[str, Any]) -> list[SourcePassage]:
    """What the search finds, and the passage that answers in the last place if it is not among that."""
    passages = found(question["question"], question["language"], PASSAGES_GIVEN)
    if question["answerable"]:
        right = [
            passage
            for passage in library()
            if passage.document_name == question["document"] and one_line(question["answer"]) in one_line(passage.text)
        ]
        assert right, f"no passage holds the answer to {question['id']}"
        if not {passage.passage_id for passage in right} & {passage.passage_id for passage in passages}:
            passages[-1] = with_score(right[0], passages[-1].score)
    return passages


def answer(question: dict[str, Any]) -> str:
    """The text of the answer; empty when the engine refuses."""
    passages = given(question)
    selection = select(question["question"], passages, question["language"])
    if not selection.candidates:
        return ""
    return "".join(event.text for event in written(selection, passages, AnswerLimits()) if isinstance(event, TextDelta))


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_most_answerable_questions_are_answered_with_the_expected_words(path: Path) -> None:
    asked = [question for question in questions(path) if question["answerable"]]
    missed = [question["id"] for question in asked if one_line(question["answer"]) not in one_line(answer(question))]
    assert len(missed) <= 0.15 * len(asked), missed


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_most_unanswerable_questions_are_refused(path: Path) -> None:
    asked = [question for question in questions(path) if not question["answerable"]]
    answered = [question["id"] for question in asked if answer(question)]
    assert len(answered) <= 0.2 * len(asked), answered
