"""What of a request is refused before anything is done for it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from generator import errors
from generator.domain.engine import SourcePassage
from generator.domain.language_model import Message, Role

_LANGUAGE = re.compile(r"[a-z]{2}")


def check_question(question: str) -> None:
    """Refuse a question that is empty or too long.

    Raises:
        AppError: INVALID_ARGUMENT with the reason.
    """
    if not question.strip():
        raise errors.empty_question()
    if len(question) > errors.MAX_QUESTION_CHARACTERS:
        raise errors.question_too_long()


def check_language(language: str) -> None:
    """Refuse what is no ISO 639-1 code; empty stands for the question's own.

    Raises:
        AppError: LANGUAGE_INVALID.
    """
    if language and not _LANGUAGE.fullmatch(language):
        raise errors.language_invalid()


def check_instructions(instructions: str) -> None:
    """Refuse instructions of a length that no model has room for.

    Raises:
        AppError: INSTRUCTIONS_TOO_LONG.
    """
    if len(instructions) > errors.MAX_INSTRUCTIONS_CHARACTERS:
        raise errors.instructions_too_long()


def check_history(history: Sequence[Message]) -> None:
    """Refuse a conversation in which anybody but the user and the assistant speaks: rules come from nowhere else.

    Raises:
        AppError: HISTORY_ROLE_INVALID.
    """
    for index, message in enumerate(history):
        if message.role is Role.SYSTEM:
            raise errors.history_of_system(index)


def check_passages(passages: Sequence[SourcePassage]) -> None:
    """Refuse passages that are too many, too long, or cannot be told apart.

    Raises:
        AppError: INVALID_ARGUMENT with the reason.
    """
    if len(passages) > errors.MAX_PASSAGES:
        raise errors.too_many_passages()
    if sum(len(passage.text) for passage in passages) > errors.MAX_PASSAGE_CHARACTERS:
        raise errors.passages_too_long()
    seen: set[str] = set()
    for index, passage in enumerate(passages):
        if not passage.passage_id.strip():
            raise errors.empty_passage_id(index)
        if passage.passage_id in seen:
            raise errors.duplicate_passage_id(index, passage.passage_id)
        seen.add(passage.passage_id)
