"""Conditions on documents: checked here once, so that the store is given only what makes sense."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TypeAlias

from ingestor import errors
from ingestor.domain.metadata import Metadata

MAX_DEPTH = 16
MAX_CONDITIONS = 256
MAX_VALUES = 1_000
MAX_VALUE_CHARS = 2_048


class Operator(Enum):
    EQUAL = "="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    IN = "in"
    EXISTS = "exists"


class FieldType(Enum):
    """What a field's values are; the text tells a user what to compare it with."""

    TEXT = "a string"
    BOOLEAN = "true or false"
    TIME = "an RFC 3339 time such as 2026-01-31T00:00:00Z"
    ANY = "a string, a finite number, or true or false"


class Whose(Enum):
    """Whose metadata a condition is about."""

    DOCUMENT = "metadata"
    COLLECTION = "collection_metadata"


FIELDS = {
    "document_id": FieldType.TEXT,
    "collection_id": FieldType.TEXT,
    "connection_id": FieldType.TEXT,
    "type": FieldType.TEXT,
    "author": FieldType.TEXT,
    "language": FieldType.TEXT,
    "create_time": FieldType.TIME,
    "update_time": FieldType.TIME,
    "outdated": FieldType.BOOLEAN,
}
Value: TypeAlias = "str | float | bool | datetime"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A document's own field against values of its type: one, or for IN several."""

    field: str
    operator: Operator
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class KeyComparison:
    """A metadata key against values: one, for IN several, for EXISTS none. What lacks the key, or has null there, never satisfies it."""

    whose: Whose
    key: str
    operator: Operator
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Contains:
    """The metadata has all that ``value`` has, as PostgreSQL's ``@>`` has it."""

    whose: Whose
    value: Metadata


@dataclass(frozen=True, slots=True)
class ContainedBy:
    """The metadata has nothing that ``value`` doesn't have, as PostgreSQL's ``<@`` has it."""

    whose: Whose
    value: Metadata


@dataclass(frozen=True, slots=True)
class AllOf:
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    filter: Filter


Filter: TypeAlias = Comparison | KeyComparison | Contains | ContainedBy | AllOf | AnyOf | NoneOf


def comparison(field: str, operator: Operator, values: Sequence[object]) -> Comparison | KeyComparison:
    """A comparison that makes sense.

    Raises:
        AppError: UNKNOWN_FILTER_FIELD naming the nearest one, WRONG_FILTER_VALUE or MALFORMED_FILTER.
    """
    whose, key = _metadata_key(field)
    if whose is None and field not in FIELDS:
        known = [*FIELDS, *(f"{each.value}.<key>" for each in Whose)]
        raise errors.unknown_filter_field(field, difflib.get_close_matches(field, known, n=1, cutoff=0.0)[0])
    kind = FieldType.ANY if whose else FIELDS[field]
    _check_count(field, operator, len(values), in_metadata=whose is not None)
    if kind is FieldType.BOOLEAN and operator not in {Operator.EQUAL, Operator.IN}:
        raise errors.malformed_filter(f"{field!r} is true or false, which have no order: compare it with EQUAL.")
    checked = tuple(_checked(field, kind, value) for value in values)
    return KeyComparison(whose, key, operator, checked) if whose else Comparison(field, operator, checked)


def whose_metadata(field: str) -> Whose:
    """Whose metadata ``field`` names as a whole.

    Raises:
        AppError: UNKNOWN_FILTER_FIELD.
    """
    try:
        return Whose(field)
    except ValueError:
        raise errors.unknown_filter_field(field, Whose.DOCUMENT.value) from None


def check_size(condition: Filter) -> Filter:
    """Refuse a filter that is too deep or too long to be evaluated.

    Raises:
        AppError: MALFORMED_FILTER.
    """
    for count, depth in enumerate(_depths(condition, 1), start=1):
        if depth > MAX_DEPTH:
            raise errors.malformed_filter(f"The filter is nested deeper than {MAX_DEPTH} levels.")
        if count > MAX_CONDITIONS:
            raise errors.malformed_filter(f"The filter has more than {MAX_CONDITIONS} conditions.")
    return condition


def _metadata_key(field: str) -> tuple[Whose | None, str]:
    head, dot, key = field.partition(".")
    whose = next((each for each in Whose if each.value == head), None) if dot and key else None
    return whose, key


def _check_count(field: str, operator: Operator, count: int, *, in_metadata: bool) -> None:
    if operator is Operator.EXISTS:
        if count or not in_metadata:
            raise errors.malformed_filter(f"EXISTS asks whether a metadata key is there and takes no value; it cannot ask {field!r}.")
    elif operator is Operator.IN and not 1 <= count <= MAX_VALUES:
        raise errors.malformed_filter(f"IN on {field!r} takes between 1 and {MAX_VALUES:,} values, not {count:,}.")
    elif operator is not Operator.IN and count != 1:
        raise errors.malformed_filter(f"{operator.name} on {field!r} takes exactly one value, not {count:,}.")


def _checked(field: str, kind: FieldType, value: object) -> Value:
    match kind, value:
        case (FieldType.TEXT | FieldType.ANY, str()) if len(value) <= MAX_VALUE_CHARS:
            return value
        case (FieldType.TEXT | FieldType.ANY, str()):
            raise errors.malformed_filter(f"A value of {field!r} is longer than {MAX_VALUE_CHARS:,} characters.")
        case (FieldType.BOOLEAN | FieldType.ANY, bool()):
            return value
        case (FieldType.ANY, float()) if math.isfinite(value):
            return value
        case (FieldType.TIME, str()) if (moment := _moment(value)) is not None:
            return moment
    raise errors.wrong_filter_value(field, kind.value)


def _moment(text: str) -> datetime | None:
    """A time with a zone that the store can hold in any zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _depths(condition: Filter, depth: int) -> Iterator[int]:
    yield depth
    match condition:
        case AllOf(filters) | AnyOf(filters):
            for each in filters:
                yield from _depths(each, depth + 1)
        case NoneOf(negated):
            yield from _depths(negated, depth + 1)
