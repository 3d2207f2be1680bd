"""What an engine is given and what it says: the port that every way of answering implements."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from generator.domain.language_model import FinishReason, Message


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what an answer must know besides passages.

    Attributes:
        language: ISO 639-1 code of the answer's language.
        instructions: what an assistant adds to the rules of answering; it can't lift them.
        history: the conversation before the question, oldest first, without messages of the system.
    """

    text: str
    language: str
    instructions: str = ""
    history: Sequence[Message] = ()


@dataclass(frozen=True, slots=True)
class SourcePassage:
    """A passage that an answer may cite.

    Attributes:
        text: what quotes are substrings of.
        headings: headings above the passage, outermost first.
        score: how well the search liked it, between 0 and 1.
    """

    passage_id: str
    text: str
    document_name: str = ""
    headings: tuple[str, ...] = ()
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """Upper bounds of an answer; None: the model's own default."""

    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text; its markers are checked."""

    text: str


@dataclass(frozen=True, slots=True)
class Citation:
    """What the marker ``[n]`` stands for. ``passage.text[start:end] == quote``, in code points."""

    marker: int
    passage_id: str
    quote: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer.

    Attributes:
        answered: whether the passages hold an answer; when not, the text says so.
        prompt_tokens: in the model's own counting; 0 where it counts none.
        dropped_markers: how many markers named a passage that was not given, or stood within a word.
        removed_links: how many links and images the text had that must not be shown.
    """

    answered: bool
    reason: FinishReason = FinishReason.STOP
    prompt_tokens: int = 0
    answer_tokens: int = 0
    dropped_markers: int = 0
    removed_links: int = 0


Event = TextDelta | Citation | Finished


class Engine(Protocol):
    """A way of answering from passages."""

    @property
    def kind(self) -> str:
        """``extractive`` or ``openai``."""

    def answer(self, question: Question, passages: Sequence[SourcePassage], limits: AnswerLimits) -> AsyncGenerator[Event, None]:
        """Answer ``question`` from ``passages`` (best first) and from nothing else, in its language.

        Yields any number of deltas and citations, then exactly one `Finished`. A citation follows the first delta that has its marker.
        Closing the iterator stops the work and frees what it holds.

        Raises:
            AppError: the answer could not be made or not be completed; what was yielded before is then a fragment.
        """
