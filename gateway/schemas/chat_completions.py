"""OpenAI's shapes of a continued conversation."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from gateway.domain import ask as domain
from gateway.schemas.ask import Citation, to_citation

_MARKER: Final = re.compile(r"\[(\d+)\]")


class UrlCitation(BaseModel):
    url: str = Field(description="Where the document came from; when it came from no address, the passage's at this server.")
    title: str = Field(description="The document's name.")
    start_index: int = Field(description="Where the marker `[n]` stands in the text.")
    end_index: int


class Annotation(BaseModel):
    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation


class CompletionMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: list[Annotation]


class Choice(BaseModel):
    index: Literal[0] = 0
    message: CompletionMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class Usage(BaseModel):
    """Tokens in the model's own counting; 0 for the extractive engine."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(BaseModel):
    """An answer; `citations` and `answered` are not OpenAI's."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="Unix time.")
    model: str
    choices: list[Choice]
    usage: Usage
    citations: list[Citation] = Field(description="What each marker `[n]` rests on, as in /api/v1/ask.")
    answered: bool = Field(description="Whether the passages hold an answer; when not, the text says so.")


@dataclass(frozen=True, slots=True)
class CompletionWriter:
    """Writes one answer as OpenAI does, whole or in chunks.

    Attributes:
        request_id: becomes the answer's id.
        model: what is to answer; empty: the generator's default, whose name is only known at the end.
        passages_url: the address below which passages are found, with a slash at its end.
    """

    request_id: str
    model: str
    passages_url: str
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, complete: domain.Complete) -> ChatCompletion:
        message = CompletionMessage(content=complete.answer, annotations=self._annotations(complete))
        return ChatCompletion(
            id=self._id,
            created=self.created,
            model=self.model or complete.end.model,
            choices=[Choice(message=message, finish_reason=_finish_reason(complete.end))],
            usage=_usage(complete.end),
            citations=_citations(complete),
            answered=complete.end.answered,
        )

    def delta(self, **delta: Any) -> str:
        """A chunk that adds ``delta`` to the message."""
        return self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])

    def last(self, complete: domain.Complete, *, include_usage: bool) -> Iterator[str]:
        """The chunks after the text: why it ended and what it rests on, and what it took."""
        annotations = [annotation.model_dump() for annotation in self._annotations(complete)]
        choice = {"index": 0, "delta": {"annotations": annotations}, "logprobs": None, "finish_reason": _finish_reason(complete.end)}
        citations = [citation.model_dump(mode="json") for citation in _citations(complete)]
        yield self._chunk([choice], citations=citations, answered=complete.end.answered)
        if include_usage:
            yield self._chunk([], usage=_usage(complete.end).model_dump())

    @property
    def _id(self) -> str:
        return f"chatcmpl-{self.request_id}"

    def _chunk(self, choices: Sequence[dict[str, Any]], **more: Any) -> str:
        head = {"id": self._id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}
        return json.dumps({**head, "choices": choices, **more}, ensure_ascii=False)

    def _annotations(self, complete: domain.Complete) -> list[Annotation]:
        cited = {citation.quote.marker: citation.passage for citation in reversed(complete.citations)}
        return [
            Annotation(
                url_citation=UrlCitation(
                    url=passage.uri or self.passages_url + passage.passage_id,
                    title=passage.document_name,
                    start_index=marker.start(),
                    end_index=marker.end(),
                )
            )
            for marker in _MARKER.finditer(complete.answer)
            if (passage := cited.get(int(marker.group(1))))
        ]


def _citations(complete: domain.Complete) -> list[Citation]:
    return [to_citation(citation) for citation in complete.citations]


def _finish_reason(end: domain.AnswerEnd) -> Literal["stop", "length"]:
    return "length" if end.finish_reason == "LENGTH" else "stop"


def _usage(end: domain.AnswerEnd) -> Usage:
    return Usage(prompt_tokens=end.prompt_tokens, completion_tokens=end.answer_tokens, total_tokens=end.prompt_tokens + end.answer_tokens)
