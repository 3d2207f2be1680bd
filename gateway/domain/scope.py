"""What a query may find: its collections by their ids, and its filter in two halves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.domain.collections import Collection
from gateway.domain.query.filters import Comparison, Filter, Operator, comparisons, replace_comparisons
from shared.errors import not_found

_COLLECTION: Final = "collection"


class CollectionFinder(Protocol):
    """Which collections the organisation has."""

    async def find(self, collections: Sequence[str]) -> Sequence[Collection]:
        """Those of ``collections``, ids or names, that exist, in no order."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """What a query may find.

    Attributes:
        collection_ids: empty: every collection.
        filter: names no collection but by its id.
    """

    collection_ids: Sequence[str]
    filter: Filter | None


async def resolve(finder: CollectionFinder, collections: Sequence[str], filter_: Filter | None) -> Scope:
    """The scope of ``collections``, ids or names, under a filter that may name collections too.

    Raises:
        AppError: COLLECTION_NOT_FOUND naming the collection that does not exist.
    """
    in_filter = [] if filter_ is None else [each for each in comparisons(filter_) if each.field == _COLLECTION]
    named = [str(value) for each in in_filter for value in each.values]
    if not collections and not named:
        return Scope((), filter_)
    found = await finder.find(list(dict.fromkeys([*collections, *named])))
    ids = {key: collection.collection_id for collection in found for key in (collection.name, collection.collection_id)}
    for name in (*collections, *named):
        if name not in ids:
            raise not_found("collection", name)
    if filter_ is not None:
        filter_ = replace_comparisons(filter_, lambda comparison: _by_id(comparison, ids))
    chosen = {ids[name] for name in collections}
    return Scope([each.collection_id for each in found if each.collection_id in chosen], filter_)


def _by_id(comparison: Comparison, ids: Mapping[str, str]) -> Filter:
    """A comparison of collections' names, which nobody but the gateway's callers uses, as one of their ids."""
    if comparison.field != _COLLECTION:
        return comparison
    return Comparison("collection_id", Operator.IN, tuple(ids[str(name)] for name in comparison.values))
