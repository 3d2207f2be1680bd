from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from gateway.domain import search as domain
from gateway.domain.hit_groups import DocumentHits, group
from gateway.domain.query.reading import read
from gateway.domain.search_history import MadeSearch
from gateway.schemas.explanation import HitExplanation, SearchExplanation, to_hit_explanation, to_search_explanation
from gateway.schemas.shapes import OptionalText, RequestBody, Shape
from shared.errors import invalid_argument

_FILTER_EXAMPLE: dict[str, JsonValue] = {
    "$and": [{"type": "pdf"}, {"update_time": {"$gte": "2024-01-01"}}, {"metadata.team": {"$in": ["people", "legal"]}}],
}
_FILTER_HELP = (
    "Only passages that satisfy it. A field against a value, or against operators: `$eq $ne $lt $lte $gt $gte $in $nin $exists`; "
    "conditions are joined by `$and`, `$or` and `$not`; `$phrase` asks for words in the text. Fields: `type`, `author`, `language`, "
    "`document_id`, `collection` (name or id), `collection_id`, `connection_id`, `create_time`, `update_time`, `outdated`, "
    "`metadata.<key>`. A date, month or year stands for all of it in UTC. Metadata as a whole: `metadata` against "
    "`$contains`, `$contained_by`, `$has_key`, `$has_keys`, `$has_any_keys`. It holds together with the conditions in the query."
)
_QUERY_HELP = (
    "Words in any language say what to look for. Conditions among them say what may be found: `type:pdf`, `-type:pdf`, `type:(pdf docx)`, "
    "`created>=2021-01-01`, `created:2020..2021`, `updated:7d`, `metadata.team:people`, `has:team`, `collection:handbook`; "
    '`"word for word"` and `-word` are conditions on the passage\'s text. They join by `OR`, `AND`, `NOT` and parentheses. '
    "`?created_at<=2021.01.01&connection=abc` is read as well. A field that does not exist is an error that names the nearest."
)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("there must be something to look for")
    return text


QueryText = Annotated[str, Field(min_length=1, max_length=10_000), AfterValidator(_not_blank)]
CollectionNames = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200)]],
    Field(max_length=100, description="Names or ids; empty: every collection of the organisation."),
]
LiteralInput = Annotated[bool, Field(description="Take the query as plain text; nothing in it is a condition.")]
FilterInput = Annotated[dict[str, JsonValue] | None, Field(description=_FILTER_HELP, examples=[_FILTER_EXAMPLE])]


class SearchInput(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": "how much leave do I have? updated:1y", "collections": ["handbook"], "filter": _FILTER_EXAMPLE}]
        }
    )

    query: QueryText = Field(description=_QUERY_HELP)
    collections: CollectionNames = Field(default_factory=list)
    filter: FilterInput = None
    mode: Literal["text", "auto", "pages"] = Field(
        default="auto", description="`text` searches passages; `auto` is the same today; `pages` (page images) is not available yet."
    )
    limit: int = Field(default=10, ge=1, le=domain.MAX_LIMIT, description="How many hits at most.")
    literal: LiteralInput = False
    group: bool = Field(default=False, description="Say also, in `groups`, which hits are of the same document and section.")
    explain: bool = Field(default=False, description="Say also, in `explanation`, why each hit stands where it stands.")
    history: bool = Field(default=True, description="Keep this search in your search history.")

    def to_query(self) -> domain.Query:
        if self.mode == "pages":
            raise invalid_argument("MODE_NOT_AVAILABLE", "Searching page images is not available yet. Use mode 'text'.", field="body.mode")
        text, condition = read(self.query, "body.query", self.filter, literal=self.literal)
        return domain.Query(text, self.collections, condition, self.limit, self.explain)

    def to_made_search(self, result: SearchResult) -> MadeSearch:
        return MadeSearch(
            query=self.query,
            request_json=self.model_dump_json(exclude={"query", "history"}, exclude_unset=True),
            hit_count=len(result.hits),
            total_ms=result.timings_ms["total"],
            trace_id=result.trace_id,
        )


class Scores(Shape):
    """Why a hit stands where it stands; null for an arm that did not run."""

    dense: float | None = Field(description="Cosine similarity of the meanings.")
    lexical: float | None = Field(description="BM25 over the words.")
    rerank: float | None = Field(default=None, description="Always null: there is no reranker yet.")


class SearchHit(Shape):
    """A passage that was found."""

    passage_id: str
    document_id: str
    document_name: str
    document_type: OptionalText
    external_id: OptionalText = Field(description="The `id` that a batch line or an upload gave.")
    collection_id: str
    collection_name: str
    text: str
    page: int | None = Field(description="From 1; null when the format has no pages.")
    uri: OptionalText = Field(description="Where the original can be opened, at this passage where the format allows it.")
    headings: list[str] = Field(description="Above the passage, outermost first.")
    score: float = Field(description="Between 0 and 1; comparable within one response only.")
    scores: Scores
    metadata: dict[str, JsonValue] = Field(description="The document's.")
    explanation: HitExplanation | None = Field(default=None, description="Why it stands where it stands; null unless asked for.")


class SectionGroup(Shape):
    """Hits below the same headings."""

    headings: list[str] = Field(description="Outermost first.")
    passage_ids: list[str] = Field(description="Of `hits`, best first.")


class DocumentGroup(Shape):
    """Hits of the same document."""

    document_id: str
    document_name: str
    score: float = Field(description="Of its best hit.")
    sections: list[SectionGroup] = Field(description="The one with the best hit first.")


class SearchResult(Shape):
    hits: list[SearchHit] = Field(description="Best first.")
    groups: list[DocumentGroup] | None = Field(
        default=None, description="The hits by document and section; null unless `group` was asked for."
    )
    explanation: SearchExplanation | None = Field(default=None, description="How the query was understood; null unless asked for.")
    timings_ms: dict[str, float] = Field(
        description="Milliseconds by stage; `index` is the embedder's share, whose stages partly run side by side, `library` the join with "
        "the documents, `total` is all."
    )
    trace_id: str = Field(description="Every service logs this request under it; the same as the header X-Request-Id.")


def to_hit(hit: domain.Hit) -> SearchHit:
    passage, candidate = hit.passage, hit.candidate
    return SearchHit(
        passage_id=passage.passage_id,
        document_id=passage.document_id,
        document_name=passage.document_name,
        document_type=passage.document_type,
        external_id=passage.external_id,
        collection_id=passage.collection_id,
        collection_name=passage.collection_name,
        text=passage.text,
        page=passage.page,
        uri=passage.uri,
        headings=list(passage.headings),
        score=candidate.score,
        scores=Scores(dense=candidate.dense, lexical=candidate.lexical),
        metadata=dict(passage.metadata),
        explanation=to_hit_explanation(hit),
    )


def to_group(document: DocumentHits) -> DocumentGroup:
    passage = document.best.passage
    return DocumentGroup(
        document_id=passage.document_id,
        document_name=passage.document_name,
        score=document.best.candidate.score,
        sections=[
            SectionGroup(headings=list(section.headings), passage_ids=[hit.passage.passage_id for hit in section.hits])
            for section in document.sections
        ],
    )


def to_result(found: domain.Found, trace_id: str, *, grouped: bool = False) -> SearchResult:
    return SearchResult(
        hits=[to_hit(hit) for hit in found.hits],
        groups=[to_group(document) for document in group(found.hits)] if grouped else None,
        explanation=None if found.explanation is None else to_search_explanation(found.explanation),
        timings_ms=to_timings(found.timings_ms),
        trace_id=trace_id,
    )


def to_timings(timings_ms: dict[str, float]) -> dict[str, float]:
    return {stage: round(milliseconds, 3) for stage, milliseconds in timings_ms.items()}
