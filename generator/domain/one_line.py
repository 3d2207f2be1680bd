"""Has a language model write one line, and takes nothing else from it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from generator.domain.citations import without_citations
from generator.domain.clean_text import TextCleaner
from generator.domain.language_model import LanguageModel, Message, ModelFinished
from generator.domain.sanitising import sanitised
from shared.errors import AppError

log = structlog.get_logger()
_QUOTES = "\"'“”«»„‘’`*_ \u00a0\u202f"
_LABEL = re.compile(r"(?:question|title|titre|rewritten question|question reformulée)\s*:\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """A text of one line, clean and without links, and what it took, in the model's own counting; 0 tokens where no model wrote."""

    text: str
    prompt_tokens: int = 0
    answer_tokens: int = 0


@dataclass(frozen=True, slots=True)
class LineLimits:
    """Upper bounds of a line that a model writes."""

    tokens: int
    characters: int
    seconds: float


async def written_line(task: str, model: LanguageModel, messages: Sequence[Message], limits: LineLimits) -> Line | None:
    """What ``model`` writes after ``messages`` if it is one line within ``limits``; None, and a log line that says why, if it isn't.

    Never raises for what a model does: who asks for a line has something to say without it. ``task`` names the line in the log.
    """
    try:
        async with asyncio.timeout(limits.seconds):
            line = await _line(model, messages, limits)
    except TimeoutError:
        line, reason = None, "TIMEOUT"
    except AppError as error:
        line, reason = None, error.reason
    else:
        reason = "NOT_ONE_LINE"
    if line is None:
        log.warning("line_not_written", task=task, reason=reason)
    return line


async def _line(model: LanguageModel, messages: Sequence[Message], limits: LineLimits) -> Line | None:
    written = ""
    cleaner = TextCleaner()
    async with aclosing(model.complete(messages, limits.tokens)) as pieces:
        async for piece in pieces:
            if isinstance(piece, ModelFinished):
                text = bare(sanitised(written + cleaner.finish(), ()))
                is_line = text and len(text.splitlines()) == 1 and len(text) <= limits.characters
                return Line(text, piece.prompt_tokens, piece.answer_tokens) if is_line else None
            written += cleaner.feed(piece.text)
            if len(written.strip()) > 2 * limits.characters:
                return None
    return None


def bare(text: str) -> str:
    """``text`` without the label, quotes, emphasis and markers that models put to a line."""
    return _LABEL.sub("", without_citations(text).strip().lstrip("# ").strip(_QUOTES), count=1).strip(_QUOTES)
