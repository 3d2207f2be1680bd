"""What callers ask, completed by the assistant and the model that they ask."""

from __future__ import annotations

from dataclasses import replace

from gateway.domain.accounts import Principal
from gateway.domain.ask import Question
from gateway.domain.assistants import Assistant, Assistants
from gateway.domain.organisation_models import OrganisationModels


class Questions:
    """Makes of what a caller sent the question that is answered."""

    def __init__(self, assistants: Assistants, models: OrganisationModels) -> None:
        self._assistants = assistants
        self._models = models

    async def prepare(self, principal: Principal, question: Question, assistant: str = "", *, default_model: str = "") -> Question:
        """``question`` with what ``assistant`` (id or name; empty: none) adds to it, and where its model runs.

        What the question says itself counts first, then the assistant, then ``default_model``, then the organisation's default model.

        Raises:
            AppError: ASSISTANT_NOT_FOUND, MODEL_NOT_FOUND or PROVIDER_KEY_UNREADABLE.
        """
        if assistant:
            question = briefed(question, await self._assistants.get(principal, assistant))
        choice = await self._models.choose(principal, question.model or default_model)
        return replace(question, model=choice.name, endpoint=choice.endpoint)

    async def prepare_chat(self, principal: Principal, question: Question) -> Question:
        """Like `prepare`, where the model that ``question`` names may also be an assistant, which comes before a model of the same name."""
        found = await self._assistants.find(principal, question.model) if question.model else None
        if found is not None:
            question = briefed(replace(question, model=""), found)
        return await self.prepare(principal, question)


def briefed(question: Question, assistant: Assistant) -> Question:
    """``question`` as it is put to ``assistant``: its prompt stands before the question's own instructions."""
    return replace(
        question,
        query=replace(question.query, collections=question.query.collections or assistant.collections),
        model=question.model or assistant.model,
        language=question.language or assistant.language,
        instructions="\n\n".join(part for part in (assistant.prompt, question.instructions) if part),
    )
