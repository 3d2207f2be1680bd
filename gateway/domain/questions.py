"""What callers ask, completed by the assistant that they ask."""

from __future__ import annotations

from dataclasses import replace

from gateway.domain.accounts import Principal
from gateway.domain.ask import Question
from gateway.domain.assistants import Assistant, Assistants


class Questions:
    """Makes of what a caller sent the question that is answered."""

    def __init__(self, assistants: Assistants) -> None:
        self._assistants = assistants

    async def prepare(self, principal: Principal, question: Question, assistant: str = "") -> Question:
        """``question`` with what ``assistant`` (id or name; empty: none) adds to it. What the question says itself counts first.

        Raises:
            AppError: ASSISTANT_NOT_FOUND.
        """
        if assistant:
            question = briefed(question, await self._assistants.get(principal, assistant))
        return question


def briefed(question: Question, assistant: Assistant) -> Question:
    """``question`` as it is put to ``assistant``: its prompt stands before the question's own instructions."""
    return replace(
        question,
        query=replace(question.query, collections=question.query.collections or assistant.collections),
        model=question.model or assistant.model,
        language=question.language or assistant.language,
        instructions="\n\n".join(part for part in (assistant.prompt, question.instructions) if part),
    )
