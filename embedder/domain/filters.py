"""Conditions over a passage's attributes: checked here once, so that every store is given only what makes sense."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TypeAlias

from embedder import errors

METADATA_PREFIX = "metadata."
_MAX_DEPTH = 16
_MAX_COMPARISONS = 256
_MAX_VALUES = 1_000
_MAX_VALUE_CHARACTERS = 2_048


class Operator(Enum):
    EQUAL = "=="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    IN = "in"
    EXISTS = "exists"


class FieldType(Enum):
    """What a field's values are; the text tells a user what to compare it with."""

    TEXT = "a string"
    INTEGER = "a whole number"
    BOOLEAN = "true or false"
    TIME = "an RFC 3339 time such as 2026-01-31T00:00:00Z"
    ANY = "a string, a number, or true or false"


FIELDS = {
    "document_id": FieldType.TEXT,
    "collection_id": FieldType.TEXT,
    "connection_id": FieldType.TEXT,
    "access_set_id": FieldType.INTEGER,
    "type": FieldType.TEXT,
    "author": FieldType.TEXT,
    "language": FieldType.TEXT,
    "create_time": FieldType.TIME,
    "update_time": FieldType.TIME,
    "outdated": FieldType.BOOLEAN,
}

Value: TypeAlias = "str | float | bool"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field against values. A passage without the field never satisfies it.

    Attributes:
        values: of the field's type (times in microseconds since 1970); one, or for IN several, or for EXISTS none.
    """

    field: str
    operator: Operator
    values: tuple[Value, ...]

    @property
    def metadata_key(self) -> str | None:
        """The key in free metadata that the field names; None for a field of its own."""
        return self.field.removeprefix(METADATA_PREFIX) if self.field.startswith(METADATA_PREFIX) else None


@dataclass(frozen=True, slots=True)
class AllOf:
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    filter: Filter


Filter: TypeAlias = Comparison | AllOf | AnyOf | NoneOf


@dataclass(frozen=True, slots=True)
class Scope:
    """What a search may find within the caller's organisation.

    Attributes:
        collection_ids: empty for every collection.
        access_set_ids: readable sets; 0, which everybody may read, is always among them.
    """

    collection_ids: tuple[str, ...] = ()
    access_set_ids: tuple[int, ...] = ()
    filter: Filter | None = None


def comparison(field: str, operator: Operator, values: Sequence[object]) -> Comparison:
    """A comparison that makes sense.

    Raises:
        AppError: UNKNOWN_FILTER_FIELD naming the nearest one, WRONG_FILTER_VALUE, or MALFORMED_FILTER.
    """
    field_type = _type_of(field)
    if operator is Operator.EXISTS:
        if field_type is not FieldType.ANY or values:
            raise errors.malformed_filter(f"EXISTS asks whether 'metadata.<key>' is there and takes no value; it cannot ask {field!r}.")
        return Comparison(field, operator, ())
    expected = range(1, _MAX_VALUES + 1) if operator is Operator.IN else range(1, 2)
    if len(values) not in expected:
        wanted = f"between 1 and {_MAX_VALUES} values" if operator is Operator.IN else "exactly one value"
        raise errors.malformed_filter(f"{operator.name} on {field!r} takes {wanted}, not {len(values)}.")
    if field_type is FieldType.BOOLEAN and operator not in (Operator.EQUAL, Operator.IN):
        raise errors.malformed_filter(f"{field!r} is true or false, which have no order: compare it with EQUAL.")
    return Comparison(field, operator, tuple(_converted(field, field_type, value) for value in values))


def clauses(condition: Filter | None) -> list[Filter]:
    """The comparisons and negations that a filter joins, in its order."""
    match condition:
        case None:
            return []
        case AllOf(filters) | AnyOf(filters):
            return [clause for each in filters for clause in clauses(each)]
        case _:
            return [condition]


def check_size(condition: Filter) -> Filter:
    """Refuse a filter that is too deep or too long to be evaluated.

    Raises:
        AppError: MALFORMED_FILTER.
    """
    for count, depth in enumerate(_depths(condition, 1), start=1):
        if depth > _MAX_DEPTH:
            raise errors.malformed_filter(f"The filter is nested deeper than {_MAX_DEPTH} levels.")
        if count > _MAX_COMPARISONS:
            raise errors.malformed_filter(f"The filter has more than {_MAX_COMPARISONS} conditions.")
    return condition


def _depths(condition: Filter, depth: int) -> Iterator[int]:
    yield depth
    if depth > _MAX_DEPTH:
        return
    match condition:
        case AllOf(filters) | AnyOf(filters):
            for each in filters:
                yield from _depths(each, depth + 1)
        case NoneOf(negated):
            yield from _depths(negated, depth + 1)


def _type_of(field: str) -> FieldType:
    if field.startswith(METADATA_PREFIX) and len(field) > len(METADATA_PREFIX):
        return FieldType.ANY
    if field in FIELDS:
        return FIELDS[field]
    raise errors.unknown_filter_field(field, difflib.get_close_matches(field, [*FIELDS, "metadata.<key>"], n=1, cutoff=0.0)[0])


def _converted(field: str, field_type: FieldType, value: object) -> Value:
    wrong = errors.wrong_filter_value(field, field_type.value)
    match field_type, value:
        case (FieldType.TEXT | FieldType.ANY, str()):
            if len(value) > _MAX_VALUE_CHARACTERS:
                raise errors.malformed_filter(f"A value of {field!r} is longer than {_MAX_VALUE_CHARACTERS} characters.")
            return value
        case (FieldType.BOOLEAN | FieldType.ANY, bool()):
            return value
        case (FieldType.INTEGER, float() | int()) if not isinstance(value, bool) and float(value).is_integer() and abs(value) < 2**53:
            return int(value)
        case (FieldType.ANY, float() | int()) if float("-inf") < float(value) < float("inf"):
            return int(value) if float(value).is_integer() and abs(value) < 2**53 else float(value)
        case (FieldType.TIME, str()):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise wrong from None
            if moment.tzinfo is None:
                raise wrong
            return microseconds(moment)
    raise wrong


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of a time with a zone."""
    elapsed = moment - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
