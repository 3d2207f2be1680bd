"""Documents by a filter, without vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from gateway.domain.documents import Document
from gateway.domain.listing import Listing, PageRequest
from gateway.domain.query.filters import Filter, Place, Subject, both, check_size
from gateway.domain.query.json_filter import compile_filter
from gateway.domain.query.language import parse_conditions
from gateway.domain.scope import CollectionFinder, Scope, resolve
from gateway.domain.strict_json import JsonValue
from shared.paging import PageTokens

_FIELD: Final = "body.query"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What documents satisfy: conditions in the query language and in JSON, which hold together; none: every document does."""

    query: str
    filter: Mapping[str, JsonValue]
    collections: Sequence[str] = ()

    def read(self, now: datetime) -> Filter | None:
        """The filter that they state at the time ``now``.

        Raises:
            AppError: what is wrong with them.
        """
        filter_ = both(parse_conditions(self.query, _FIELD, now), compile_filter(dict(self.filter), Subject.DOCUMENTS))
        return filter_ and check_size(filter_, Place(_FIELD, "The query with its filter", Subject.DOCUMENTS))


class FilteredDocuments(Protocol):
    """The documents of the current caller's organisation."""

    async def filtered(self, scope: Scope, page: PageRequest) -> Listing[Document]:
        """One page of those within ``scope``, oldest first."""
        ...


class DocumentFilter:
    """Finds documents by their fields and metadata, in the library alone."""

    def __init__(self, documents: FilteredDocuments, collections: CollectionFinder, tokens: PageTokens) -> None:
        self._documents = documents
        self._collections = collections
        self._tokens = tokens

    async def page(self, conditions: Conditions, page: PageRequest) -> Listing[Document]:
        """One page of the documents that satisfy ``conditions``, oldest first.

        The token remembers when the first page was asked for: ``updated:7d`` means the same on every page.

        Raises:
            AppError: PAGE_TOKEN_INVALID, COLLECTION_NOT_FOUND, and what is wrong with the conditions.
        """
        query = {
            "list": "filter",
            "query": conditions.query,
            "filter": json.dumps(conditions.filter, sort_keys=True),
            "collections": json.dumps(list(conditions.collections)),
        }
        position = self._tokens.decode(query, page.token)
        now, token = (datetime.fromisoformat(position[0]), position[1]) if position else (datetime.now(UTC), "")
        scope = await resolve(self._collections, conditions.collections, conditions.read(now))
        listing = await self._documents.filtered(scope, PageRequest(page.size, token))
        following = self._tokens.encode(query, (now.isoformat(), listing.next_token)) if listing.next_token else ""
        return Listing(listing.items, following)
