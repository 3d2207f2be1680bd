"""Builds the prompt that asks a language model for a cited answer, within a budget."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import Template
from typing import Protocol

from generator.domain.citations import without_markers
from generator.domain.engine import SourcePassage
from generator.domain.language_model import Message, Role
from generator.domain.refusals import refusal
from generator.domain.sentences import sentence_spans

# Tokenizers make about four characters of English or one of Chinese into a token: three UTF-8 bytes errs on the safe side for both.
BYTES_PER_TOKEN = 3
# Less of a passage than this is noise.
_MIN_PART_TOKENS = 40
_TAG = re.compile(r"<(?=\s*/?\s*passages?\b)", re.IGNORECASE)
_LANGUAGE_NAMES = {
    "en": "English", "fr": "français", "de": "German", "es": "Spanish", "it": "Italian", "nl": "Dutch", "pt": "Portuguese",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A versioned prompt: ``$refusal`` and ``$language`` in the rules, ``$passages`` and ``$question`` in the rest."""

    version: str
    system: Template
    user: Template


class PromptTemplates(Protocol):
    """Where prompts come from."""

    def template(self, language: str) -> PromptTemplate:
        """The prompt for answers in ``language``, or the one that is used where there is none for it."""


@dataclass(frozen=True, slots=True)
class PassagePrompt:
    """A prompt and what its numbers stand for; a passage that was cut is as the model sees it."""

    messages: Sequence[Message]
    passages: Mapping[int, SourcePassage]


class QuestionTooLong(Exception):  # noqa: N818  # not an error of the caller's until a service says so
    """The question leaves no room for a passage."""


def token_estimate(text: str) -> int:
    """An upper estimate of the tokens of ``text`` for the usual tokenizers."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def passage_prompt(
    template: PromptTemplate, question: str, passages: Sequence[SourcePassage], language: str, max_tokens: int
) -> PassagePrompt:
    """Ask ``question`` over as many of ``passages``, best first, as ``max_tokens`` has room for. The last one may be cut at a sentence.

    What stands in passages is data: it is fenced by tags that it cannot close and cannot forge, and its own ``[n]`` are made ``(n)``.

    Raises:
        QuestionTooLong: not even a part of the first passage fits.
    """
    system = template.system.substitute(refusal=refusal(language), language=_LANGUAGE_NAMES.get(language, f"the language {language!r}"))
    frame = template.user.substitute(passages="", question=question)
    room = max_tokens - token_estimate(system) - token_estimate(frame)
    shown: dict[int, SourcePassage] = {}
    fenced: list[str] = []
    for passage in passages:
        if not passage.text.strip():
            continue
        number = len(shown) + 1
        part = _fitting(passage, number, room)
        if part is None:
            break
        shown[number] = part
        fenced.append(_fence(part, number))
        room -= token_estimate(fenced[-1])
    if not shown and any(passage.text.strip() for passage in passages):
        raise QuestionTooLong
    user = template.user.substitute(passages="\n".join(fenced), question=question)
    return PassagePrompt([Message(Role.SYSTEM, system), Message(Role.USER, user)], shown)


def _fitting(passage: SourcePassage, number: int, room: int) -> SourcePassage | None:
    """``passage``, or its first sentences if not all of it fits into ``room`` tokens; None if too little would."""
    if token_estimate(_fence(passage, number)) <= room:
        return passage
    room -= token_estimate(_fence(replace(passage, text=""), number))
    if room < _MIN_PART_TOKENS:
        return None
    end = 0
    for _, sentence_end in sentence_spans(passage.text, 0, len(passage.text)):
        if token_estimate(passage.text[:sentence_end]) > room:
            break
        end = sentence_end
    # Less characters than bytes always fit; a first sentence that is longer than the room is cut within.
    return replace(passage, text=passage.text[: end or room * BYTES_PER_TOKEN // 4])


def _fence(passage: SourcePassage, number: int) -> str:
    section = " > ".join(passage.headings)
    attributes = f'number="{number}" document="{_attribute(passage.document_name)}" section="{_attribute(section)}"'
    return f"<passage {attributes}>\n{_TAG.sub('‹', without_markers(passage.text))}\n</passage>"


def _attribute(text: str) -> str:
    return without_markers(" ".join(text.split())).replace('"', "'").replace("<", "‹").replace(">", "›")[:300]
