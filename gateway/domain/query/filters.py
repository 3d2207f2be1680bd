"""Filters: conditions on what a search may find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.domain.strict_json import JsonValue
from shared.errors import AppError, invalid_argument

# What the index evaluates at most.
MAX_CONDITIONS: Final = 250
MAX_TREE_DEPTH: Final = 16

Scalar = str | int | float | bool


class Operator(Enum):
    EQUAL = "$eq"
    LESS = "$lt"
    LESS_OR_EQUAL = "$lte"
    GREATER = "$gt"
    GREATER_OR_EQUAL = "$gte"
    IN = "$in"
    EXISTS = "$exists"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field against values: one, several for IN, none for EXISTS. Times are RFC 3339 strings in UTC."""

    field: str
    operator: Operator
    values: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words, case-folded, that stand in the passage's text one after the other."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MetadataContains:
    """The metadata has all that ``value`` has, as PostgreSQL's ``@>`` has it; ``field`` says whose."""

    value: Mapping[str, JsonValue]
    field: str = "metadata"


@dataclass(frozen=True, slots=True)
class MetadataContainedBy:
    """The metadata has nothing that ``value`` doesn't have, as PostgreSQL's ``<@`` has it; ``field`` says whose."""

    value: Mapping[str, JsonValue]
    field: str = "metadata"


@dataclass(frozen=True, slots=True)
class AllOf:
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    filter: Filter


# Decided on the passage itself, after the library has given it: the index knows neither texts nor whole metadata.
PassageCondition = Phrase | MetadataContains | MetadataContainedBy
Filter = Comparison | PassageCondition | AllOf | AnyOf | NoneOf


class Subject(Enum):
    """What a filter is about, which decides what it may say."""

    PASSAGES = "passages"  # of a search: the index decides the fields, and the gateway texts and whole metadata
    DOCUMENTS = "documents"  # the library decides all of it, and knows no texts


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a request something stands.

    Attributes:
        field: the part of the request.
        label: how a sentence about it begins.
        subject: what the filter is about.
    """

    field: str
    label: str
    subject: Subject = Subject.PASSAGES

    def item(self, index: int) -> Place:
        """An item of the list that stands here; a query's text, of which the label tells more than the field, has no items."""
        return Place(f"{self.field}[{index}]" if self.label == self.field else self.field, f"{self.label}[{index}]", self.subject)

    def invalid(self, what: str) -> AppError:
        return invalid_argument("FILTER_INVALID", f"{self.label} {what}.", field=self.field)

    def too_large(self, what: str) -> AppError:
        return invalid_argument("FILTER_TOO_LARGE", f"{self.label} {what}.", field=self.field)


def all_of(filters: Sequence[Filter]) -> Filter:
    """That all of ``filters`` hold, of which there is at least one."""
    parts = tuple(part for each in filters for part in (each.filters if isinstance(each, AllOf) else (each,)))
    return parts[0] if len(parts) == 1 else AllOf(parts)


def both(*filters: Filter | None) -> Filter | None:
    """That those of ``filters`` hold that there are; None when there is none."""
    stated = [each for each in filters if each is not None]
    return all_of(stated) if stated else None


def any_of(filters: tuple[Filter, ...], place: Place) -> Filter:
    """That one of ``filters`` holds.

    Raises:
        AppError: FILTER_INVALID when the index can decide some of them and not the others.
    """
    _refuse_mixture(filters, place)
    return filters[0] if len(filters) == 1 else AnyOf(filters)


def none_of(filter_: Filter, place: Place) -> Filter:
    """That ``filter_`` doesn't hold.

    Raises:
        AppError: FILTER_INVALID when the index can decide some of its parts and not the others.
    """
    _refuse_mixture((filter_,), place)
    return NoneOf(filter_)


def check_size(filter_: Filter, place: Place) -> Filter:
    """Refuse what is more than the index evaluates.

    Raises:
        AppError: FILTER_TOO_LARGE.
    """
    for count, (_, depth) in enumerate(_nodes(filter_, 1), start=1):
        if depth > MAX_TREE_DEPTH:
            raise place.too_large(f"is nested deeper than {MAX_TREE_DEPTH} levels")
        if count > MAX_CONDITIONS:
            raise place.too_large(f"has more than {MAX_CONDITIONS} conditions")
    return filter_


def split(filter_: Filter | None) -> tuple[Filter | None, Filter | None]:
    """What of ``filter_`` the index decides, and what is decided on passages; both must hold."""
    parts = filter_.filters if isinstance(filter_, AllOf) else (filter_,) if filter_ is not None else ()
    halves = [split(part) if isinstance(part, AllOf) else (None, part) if _of_passages(part) else (part, None) for part in parts]
    return both(*(index for index, _ in halves)), both(*(passage for _, passage in halves))


def replace_comparisons(filter_: Filter, replacement: Callable[[Comparison], Filter]) -> Filter:
    """``filter_`` with another filter for each of its comparisons."""
    match filter_:
        case AllOf(filters):
            return AllOf(tuple(replace_comparisons(each, replacement) for each in filters))
        case AnyOf(filters):
            return AnyOf(tuple(replace_comparisons(each, replacement) for each in filters))
        case NoneOf(inner):
            return NoneOf(replace_comparisons(inner, replacement))
        case Comparison():
            return replacement(filter_)
        case _:
            return filter_


def comparisons(filter_: Filter) -> Iterator[Comparison]:
    return (node for node, _ in _nodes(filter_, 1) if isinstance(node, Comparison))


def has_phrase(filter_: Filter) -> bool:
    return any(isinstance(node, Phrase) for node, _ in _nodes(filter_, 1))


def _nodes(filter_: Filter, depth: int) -> Iterator[tuple[Filter, int]]:
    yield filter_, depth
    match filter_:
        case AllOf(filters) | AnyOf(filters):
            for each in filters:
                yield from _nodes(each, depth + 1)
        case NoneOf(inner):
            yield from _nodes(inner, depth + 1)


def _of_passages(filter_: Filter) -> bool:
    return any(isinstance(node, PassageCondition) for node, _ in _nodes(filter_, 1))


def _refuse_mixture(filters: tuple[Filter, ...], place: Place) -> None:
    if place.subject is Subject.DOCUMENTS:
        return
    leaves = [node for filter_ in filters for node, _ in _nodes(filter_, 1) if not isinstance(node, AllOf | AnyOf | NoneOf)]
    if len({isinstance(leaf, PassageCondition) for leaf in leaves}) > 1:
        raise place.invalid(
            "joins conditions on fields with conditions on texts or whole metadata, which are decided apart; join them only by 'and'"
        )
