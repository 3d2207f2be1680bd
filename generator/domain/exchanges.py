"""The part of a conversation that a model is reminded of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise

from generator.domain.citations import without_citations
from generator.domain.fences import harmless
from generator.domain.language_model import Message, Role

Exchange = tuple[Message, Message]


def newest_exchanges(history: Sequence[Message], room: int, tokens: Callable[[str, int], int | None]) -> tuple[list[Message], int]:
    """The newest exchanges of ``history`` that fit into ``room`` tokens together, oldest first, and the tokens that they take.

    An exchange is kept whole or left out, and with it all before it. ``tokens`` counts a message, and may say None for one that surely
    has more than the room it is told.
    """
    kept: list[Message] = []
    used = 0
    for exchange in reversed(list(exchanges(history))):
        counted = [tokens(message.text, room - used) for message in exchange]
        known = [each for each in counted if each is not None]
        if len(known) < len(counted) or sum(known) > room - used:
            break
        used += sum(known)
        kept = [*exchange, *kept]
    return kept, used


def exchanges(history: Sequence[Message]) -> Iterator[Exchange]:
    """Questions with their answers, as models want to read them: in turns, beginning with a question.

    Messages of one writer that follow one another are one. What has no counterpart is left out: a greeting, a question whose answer
    failed. Markers of earlier answers stand for passages that are not given any more and are taken out.
    """
    spoken = (message for message in history if message.text.strip() and message.role is not Role.SYSTEM)
    joined = [
        Message(role, harmless("\n\n".join(message.text for message in messages)))
        for role, messages in groupby(spoken, key=lambda message: message.role)
    ]
    for asked, answered in pairwise(joined):
        if asked.role is Role.USER:
            yield asked, Message(answered.role, without_citations(answered.text))
