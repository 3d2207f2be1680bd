from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from gateway.domain import ask as domain
from gateway.domain.query.reading import read
from gateway.domain.search import Query
from gateway.schemas.search import CollectionNames, FilterInput, LiteralInput, QueryText, SearchHit, to_hit, to_timings
from gateway.schemas.shapes import OptionalText, RequestBody, Shape


class QuestionInput(RequestBody):
    """A question, and what its answer may rest on."""

    question: QueryText = Field(description="In any language. Conditions in it, such as `type:pdf`, are read as in a search's query.")
    collections: CollectionNames = Field(default_factory=list)
    assistant: Annotated[
        str,
        Field(
            max_length=200, description="Id or name of one of /api/v1/assistants. What the request itself says counts before what it says."
        ),
    ] = ""
    filter: FilterInput = None
    literal: LiteralInput = False
    model: Annotated[str, Field(max_length=500, description="One of /api/v1/llm-models; empty: the default one.")] = ""
    language: Annotated[
        str, Field(pattern="^([a-z]{2})?$", description="ISO 639-1 code of the answer's language; empty: the question's.")
    ] = ""

    def to_question(self, passages: int) -> domain.Question:
        text, condition = read(self.question, "body.question", self.filter, literal=self.literal)
        return domain.Question(Query(text, self.collections, condition, passages), self.model, self.language)


class AskInput(QuestionInput):
    model_config = ConfigDict(json_schema_extra={"examples": [{"question": "How much leave do I have?", "collections": ["handbook"]}]})

    stream: bool = Field(default=False, description="Answer as server-sent events: `metadata`, `delta`, `citation`, `complete`, `error`.")


class Citation(Shape):
    """A statement's evidence: `quote` stands word for word in the passage."""

    marker: int = Field(description="The number in the answer's `[n]`.")
    passage_id: str
    document_id: str
    document_name: str
    page: int | None
    uri: OptionalText
    quote: str
    start: int = Field(description="Character offset at which the quote starts in the passage's text.")
    end: int = Field(description="Character offset at which it ends.")


class TokenUsage(Shape):
    prompt_tokens: int
    answer_tokens: int


class Answer(Shape):
    """An answer and what it rests on."""

    answer: str
    answered: bool = Field(description="Whether the passages hold an answer; when not, the text says so.")
    citations: list[Citation]
    hits: list[SearchHit] = Field(description="The passages that the answer could rest on, best first.")
    model: str
    finish_reason: str = Field(description="`STOP`, or `LENGTH` when the answer was cut at its longest.")
    usage: TokenUsage = Field(description="In the model's own counting; 0 for the extractive engine.")
    timings_ms: dict[str, float] = Field(description="Milliseconds by stage.")
    trace_id: str = Field(description="Every service logs this request under it; the same as the header X-Request-Id.")


def to_citation(citation: domain.Citation) -> Citation:
    passage, quote = citation.passage, citation.quote
    return Citation(
        marker=quote.marker,
        passage_id=passage.passage_id,
        document_id=passage.document_id,
        document_name=passage.document_name,
        page=passage.page,
        uri=passage.uri,
        quote=quote.quote,
        start=quote.start,
        end=quote.end,
    )


def to_answer(complete: domain.Complete, trace_id: str) -> Answer:
    end = complete.end
    return Answer(
        answer=complete.answer,
        answered=end.answered,
        citations=[to_citation(citation) for citation in complete.citations],
        hits=[to_hit(hit) for hit in complete.found.hits],
        model=end.model,
        finish_reason=end.finish_reason,
        usage=TokenUsage(prompt_tokens=end.prompt_tokens, answer_tokens=end.answer_tokens),
        timings_ms=to_timings(complete.found.timings_ms),
        trace_id=trace_id,
    )
