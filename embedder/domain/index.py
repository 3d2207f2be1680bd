"""What the embedder needs of a vector store. One contract suite runs over every adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from embedder.domain.encoding import Vectors
from embedder.domain.filters import Filter, Scope
from embedder.domain.passages import Candidate, Deleted, Generations, HeldPassage, IndexedPassage


class VectorIndex(Protocol):
    """Passages by organisation; no method but `organisations` sees or touches another organisation's.

    Every method raises AppError INDEX_UNAVAILABLE when the store does not answer, and INDEX_OF_OTHER_MODEL when its vectors are not ours.
    """

    @property
    def physical_collection(self) -> str:
        """Where the rows really are; changes when an alias is moved."""
        ...

    async def upsert(self, organisation_id: str, rows: Sequence[IndexedPassage]) -> None:
        """Write rows under their passage ids, whole; what stood there is replaced. Durable on return."""
        ...

    async def search_dense(self, organisation_id: str, vector: Vectors, scope: Scope, limit: int) -> list[Candidate]:
        """The nearest passages by cosine, best first, each with its cosine.

        Shapes:
            vector: (dimension,).
        """
        ...

    async def search_lexical(self, organisation_id: str, terms: str, scope: Scope, limit: int) -> list[Candidate]:
        """Passages that share terms with the query, the best first by the store's own measure, each with its vector."""
        ...

    async def sample_terms(self, organisation_id: str, count: int) -> list[str]:
        """Terms of about ``count`` of the organisation's passages, or of all when there are fewer."""
        ...

    async def fetch_vectors(self, organisation_id: str, passage_ids: Sequence[str]) -> Mapping[str, Vectors]:
        """Stored vectors by passage id, of length 1; those that are not held are left out."""
        ...

    async def satisfying(self, organisation_id: str, passage_ids: Sequence[str], condition: Filter) -> set[str]:
        """Those of ``passage_ids`` that are held and satisfy ``condition``."""
        ...

    async def find_missing(self, organisation_id: str, passage_ids: Sequence[str]) -> list[str]:
        """Those of ``passage_ids`` that are not held. Sees every write that has returned."""
        ...

    async def delete_documents(self, organisation_id: str, documents: Mapping[str, Generations]) -> Mapping[str, Deleted]:
        """Delete documents' rows of these generations, and look again; what became of each document."""
        ...

    async def delete_passages(self, organisation_id: str, passage_ids: Sequence[str]) -> Deleted:
        """Delete rows by their passage ids, and look again."""
        ...

    async def scan(self, organisation_id: str, after: str, limit: int) -> list[HeldPassage]:
        """The next ``limit`` rows after the passage id ``after``, in the order of their ids. Sees every write that has returned."""
        ...

    async def organisations(self) -> list[str]:
        """Every organisation that has a row, in no order. Sees every write that has returned."""
        ...

    async def count(self, organisation_id: str, collection_id: str | None) -> int:
        """Rows held for the organisation, or for one of its collections. Sees every write that has returned."""
        ...

    async def is_serving(self) -> bool:
        """Whether the store answers and is ours; mends the connection if it can. Never raises."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Succession:
    """The collection that answers, and the one that is to take its place."""

    serving: str
    following: str


class IndexCollections(Protocol):
    """The index's physical collections.

    Raises what `VectorIndex` does, and INDEX_COLLECTION_NOT_OURS for names that are not of this model.
    """

    async def prepare(self) -> Succession:
        """Create the collection that follows the serving one, empty; what an earlier attempt left of it goes."""
        ...

    def open(self, collection: str) -> VectorIndex:
        """The rows of one collection; its methods raise INDEX_COLLECTION_NOT_FOUND when it is not there."""
        ...

    async def switch(self, succession: Succession) -> None:
        """Let the following collection answer, in one step for all searches. Nothing happens when it does already.

        Raises:
            AppError: INDEX_COLLECTION_MOVED when neither of the two answers.
        """
        ...

    async def drop(self, collection: str) -> None:
        """Remove a collection, if it is there.

        Raises:
            AppError: INDEX_COLLECTION_ANSWERS when it is the serving one.
        """
        ...

    async def close(self) -> None: ...
