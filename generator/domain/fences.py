"""Puts texts of others into a prompt so that they cannot pass for a part of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from generator.domain.citations import without_citations
from generator.domain.language_model import Message, Role

# Every tag that a prompt of ours uses.
_TAG = re.compile(r"<(?=\s*/?\s*(?:passages?|conversation|instructions)\b)", re.IGNORECASE)
_SPEAKERS = {Role.USER: "User", Role.ASSISTANT: "Assistant", Role.SYSTEM: "Note"}


def harmless(text: str) -> str:
    """``text`` with the beginning of every tag that a prompt uses made a sign that only looks like it."""
    return _TAG.sub("‹", text)


def fenced_conversation(history: Sequence[Message], message_characters: int) -> str:
    """A conversation as data, one line a message, each cut to its first ``message_characters``."""
    return "\n".join(f"{_SPEAKERS[message.role]}: {_one_line(message.text, message_characters)}" for message in history)


def _one_line(text: str, characters: int) -> str:
    line = " ".join(text[: 2 * characters].split())
    cut = line if len(line) <= characters else line[:characters] + "…"
    return harmless(without_citations(cut))
