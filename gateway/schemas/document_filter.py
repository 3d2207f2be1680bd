from __future__ import annotations

from pydantic import ConfigDict, Field, JsonValue

from gateway.domain.document_filter import Conditions
from gateway.domain.listing import PageRequest
from gateway.schemas.search import CollectionNames
from gateway.schemas.shapes import RequestBody
from shared.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE

_QUERY_HELP = (
    "Conditions as a search's query has them, without words to look for: `type:pdf updated:7d -author:ann metadata.team:people`; also "
    "`collection_metadata.<key>:value`. Empty: none."
)
_FILTER_HELP = (
    "The same as JSON, as a search's `filter` has it, but for `$phrase`. `collection_metadata.<key>` and `collection_metadata` ask about "
    "the metadata of the document's collection as `metadata.<key>` and `metadata` do about the document's. It holds with the query."
)


class DocumentFilterInput(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": "type:pdf updated:1y", "filter": {"metadata": {"$has_keys": ["team", "year"]}}}]}
    )

    query: str = Field(default="", max_length=10_000, description=_QUERY_HELP)
    filter: dict[str, JsonValue] = Field(default_factory=dict, description=_FILTER_HELP)
    collections: CollectionNames = Field(default_factory=list)
    page_size: int = Field(default=DEFAULT_PAGE_SIZE, ge=1, le=MAX_PAGE_SIZE, description="How many documents to return at most.")
    page_token: str = Field(
        default="", max_length=4000, description="`next_page_token` of the page before, with the same conditions; empty for the first."
    )

    def to_conditions(self) -> Conditions:
        return Conditions(self.query, self.filter, self.collections)

    def to_page(self) -> PageRequest:
        return PageRequest(self.page_size, self.page_token)
