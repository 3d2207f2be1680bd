"""Builds the prompt that asks a language model for a cited answer, within a budget of the model's tokens."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from string import Template
from typing import Protocol

from generator.domain.citations import without_markers
from generator.domain.engine import Question, SourcePassage
from generator.domain.exchanges import newest_exchanges
from generator.domain.fences import harmless
from generator.domain.language_model import Message, Role
from generator.domain.refusals import refusal
from generator.domain.sentences import sentence_spans

# Tokenizers make about four characters of English or one of Chinese into a token: three UTF-8 bytes errs on the safe side for both.
BYTES_PER_TOKEN = 3
# What chat templates put around a message: a few tokens for who speaks and where it ends.
MESSAGE_TOKENS = 8
# No tokenizer makes tokens much longer than this of text; what has more characters per token of room is not even counted.
MAX_CHARACTERS_PER_TOKEN = 16
# Of what rules and question leave, passages get at least this if they need it, and the conversation what they don't need.
PASSAGE_SHARE = 0.6
# An assistant's instructions may fill this much of the whole.
INSTRUCTIONS_SHARE = 0.25
# Less of a passage than this is noise.
_MIN_PART_TOKENS = 40
_LANGUAGE_NAMES = {
    "en": "English", "fr": "français", "de": "German", "es": "Spanish", "it": "Italian", "nl": "Dutch", "pt": "Portuguese",
}  # fmt: skip

CountTokens = Callable[[Sequence[str]], Sequence[int]]


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A versioned prompt: the rules, what is asked, and how an assistant's instructions are framed if the prompt takes any."""

    version: str
    system: Template
    user: Template
    instructions: Template


class PromptTemplates(Protocol):
    """Where prompts come from."""

    def template(self, language: str) -> PromptTemplate:
        """The prompt for answers in ``language``, or the one that is used where there is none for it."""


@dataclass(frozen=True, slots=True)
class AnswerPrompt:
    """A prompt and what its numbers stand for; a passage that was cut is as the model sees it."""

    messages: Sequence[Message]
    passages: Mapping[int, SourcePassage]


class QuestionTooLong(Exception):  # noqa: N818  # not an error of the caller's until a service says so
    """The question leaves no room for a passage."""


class InstructionsTooLong(Exception):  # noqa: N818  # as above
    """The instructions fill more than their share, ``bound`` tokens."""

    def __init__(self, bound: int) -> None:
        super().__init__(bound)
        self.bound = bound


def token_estimate(text: str) -> int:
    """An upper estimate of the tokens of ``text`` for the usual tokenizers."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def answer_prompt(
    template: PromptTemplate, question: Question, passages: Sequence[SourcePassage], max_tokens: int, count: CountTokens
) -> AnswerPrompt:
    """Ask ``question`` over as many of ``passages``, best first, as ``max_tokens`` has room for. The last one may be cut at a sentence.

    The messages are, in this order: the rules, the assistant's instructions, the language; the conversation, as far as it fits, newest
    first and in whole exchanges; the passages and the question. What others wrote cannot close or forge the fences around it, and the
    ``[n]`` of passages are made ``(n)``.

    Raises:
        QuestionTooLong: not even a part of the first passage fits.
        InstructionsTooLong: the instructions fill more than their share.

    Blocking: as long as ``count`` takes for the whole prompt, several times over.
    """
    instructions_bound = int(max_tokens * INSTRUCTIONS_SHARE)
    if _exceeds(question.instructions, instructions_bound, count):
        raise InstructionsTooLong(instructions_bound)
    system = _system(template, question)
    asked = harmless(question.text)
    frame = template.user.substitute(passages="", question=asked)
    room = max_tokens - sum(count([system, frame])) - 2 * MESSAGE_TOKENS
    candidates = [passage for passage in passages if passage.text.strip()]
    fences = _countable([_fence(passage, number) for number, passage in enumerate(candidates, 1)], room)
    sizes = count(fences)
    history, history_tokens = newest_exchanges(question.history, room - min(sum(sizes), int(room * PASSAGE_SHARE)), _message_tokens(count))
    shown = _shown(candidates, sizes, room - history_tokens, count)
    if candidates and not shown:
        raise QuestionTooLong
    body = "\n".join(_fence(passage, number) for number, passage in shown.items())
    user = template.user.substitute(passages=body, question=asked)
    return AnswerPrompt([Message(Role.SYSTEM, system), *history, Message(Role.USER, user)], shown)


def _system(template: PromptTemplate, question: Question) -> str:
    instructions = question.instructions.strip()
    framed = "\n" + template.instructions.substitute(instructions=harmless(instructions)) + "\n" if instructions else ""
    language = _LANGUAGE_NAMES.get(question.language, f"the language {question.language!r}")
    return template.system.substitute(refusal=refusal(question.language), instructions=framed, language=language)


def _exceeds(text: str, bound: int, count: CountTokens) -> bool:
    return len(text) > bound * MAX_CHARACTERS_PER_TOKEN or count([text])[0] > bound


def _message_tokens(count: CountTokens) -> Callable[[str, int], int | None]:
    def tokens(text: str, room: int) -> int | None:
        """Tokens of a message; None if it surely has more than ``room``."""
        return None if len(text) > max(room, 0) * MAX_CHARACTERS_PER_TOKEN else count([text])[0] + MESSAGE_TOKENS

    return tokens


def _countable(fences: Sequence[str], room: int) -> Sequence[str]:
    """As many of ``fences`` as can fit, and one more."""
    before = accumulate(map(len, fences), initial=0)
    return [fence for fence, _ in zip(fences, takewhile(lambda length: length <= room * MAX_CHARACTERS_PER_TOKEN, before), strict=False)]


def _shown(candidates: Sequence[SourcePassage], sizes: Sequence[int], room: int, count: CountTokens) -> dict[int, SourcePassage]:
    """The passages that fit into ``room`` by their numbers; the last may be a part."""
    shown: dict[int, SourcePassage] = {}
    for number, (passage, size) in enumerate(zip(candidates, sizes, strict=False), 1):
        if size > room:
            part = _part(passage, number, room, count)
            return shown | ({number: part} if part else {})
        shown[number] = passage
        room -= size
    return shown


def _part(passage: SourcePassage, number: int, room: int, count: CountTokens) -> SourcePassage | None:
    """The first sentences of ``passage`` that fit into ``room`` tokens, or what fits of the first; None if too little would."""
    text = passage.text[: max(room, 0) * MAX_CHARACTERS_PER_TOKEN]

    def size(end: int) -> int:
        return count([_fence(replace(passage, text=text[:end]), number)])[0]

    if size(0) + _MIN_PART_TOKENS > room:
        return None
    ends = [end for _, end in sentence_spans(text, 0, len(text))]
    fitting = bisect_right(ends, room, key=size)
    end = ends[fitting - 1] if fitting else bisect_right(range(ends[0] if ends else 0), room, key=size) - 1
    return replace(passage, text=text[:end])


def _fence(passage: SourcePassage, number: int) -> str:
    section = " > ".join(passage.headings)
    attributes = f'number="{number}" document="{_attribute(passage.document_name)}" section="{_attribute(section)}"'
    return f"<passage {attributes}>\n{harmless(without_markers(passage.text))}\n</passage>\n"


def _attribute(text: str) -> str:
    return without_markers(" ".join(text.split())).replace('"', "'").replace("<", "‹").replace(">", "›")[:300]
