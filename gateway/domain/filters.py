"""Filters: conditions on what a search may find, read from JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Final

from gateway.domain.strict_json import JsonValue
from gateway.errors import nearest
from shared.errors import AppError, invalid_argument

MAX_DEPTH: Final = 8
MAX_COMPARISONS: Final = 100
MAX_VALUES: Final = 500
MAX_TEXT: Final = 1000
METADATA: Final = "metadata."

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
class AllOf:
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    filter: Filter


Filter = Comparison | AllOf | AnyOf | NoneOf


class _Kind(Enum):
    TEXT = "a string"
    TIME = 'a date ("2024-01-31") or a time ("2024-01-31T12:00:00Z")'
    FLAG = "true or false"
    FREE = "a string, a number, true or false"


_FIELDS: Final = {
    "type": _Kind.TEXT,
    "author": _Kind.TEXT,
    "language": _Kind.TEXT,
    "document_id": _Kind.TEXT,
    "collection_id": _Kind.TEXT,
    "connection_id": _Kind.TEXT,
    "create_time": _Kind.TIME,
    "update_time": _Kind.TIME,
    "outdated": _Kind.FLAG,
}
_LISTS: Final[dict[str, type[AllOf | AnyOf]]] = {"$and": AllOf, "$or": AnyOf}
_ORDERED: Final = {"$lt": Operator.LESS, "$lte": Operator.LESS_OR_EQUAL, "$gt": Operator.GREATER, "$gte": Operator.GREATER_OR_EQUAL}
_OPERATORS: Final = ("$eq", "$ne", *_ORDERED, "$in", "$nin", "$exists")
_METADATA_KEY: Final = re.compile(r"[^\x00-\x1f\x7f\"'\\`]{1,200}")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def compile_filter(source: dict[str, JsonValue]) -> Filter | None:
    """The condition that ``source`` states; None when it states none.

    Raises:
        AppError: UNKNOWN_FILTER_FIELD and UNKNOWN_FILTER_OPERATOR name the nearest valid one; FILTER_INVALID says what is wrong where;
            FILTER_TOO_LARGE when it is nested too deeply or compares too much.
    """
    return _Compiler().conjunction(source, "filter", 0) if source else None


class _Compiler:
    def __init__(self) -> None:
        self._comparisons = 0

    def conjunction(self, source: JsonValue, path: str, depth: int) -> Filter:
        """The condition that all members of an object hold."""
        if not isinstance(source, dict) or not source:
            raise _invalid(path, "must be an object with at least one condition")
        if depth >= MAX_DEPTH:
            raise _too_large(path, f"is nested deeper than {MAX_DEPTH} levels")
        parts = tuple(self._member(name, value, f"{path}.{name}", depth) for name, value in source.items())
        return parts[0] if len(parts) == 1 else AllOf(parts)

    def _member(self, name: str, value: JsonValue, path: str, depth: int) -> Filter:
        if name in _LISTS:
            if not isinstance(value, list) or not value:
                raise _invalid(path, "must be a list with at least one filter")
            return _LISTS[name](tuple(self.conjunction(part, f"{path}[{index}]", depth + 1) for index, part in enumerate(value)))
        if name == "$not":
            return NoneOf(self.conjunction(value, path, depth + 1))
        if name.startswith("$"):
            raise _unknown("OPERATOR", name, ("$and", "$or", "$not"), path)
        return self._field(name, _kind(name, path), value, path)

    def _field(self, name: str, kind: _Kind, value: JsonValue, path: str) -> Filter:
        if not isinstance(value, dict):
            return self._compare(name, kind, "$eq", value, path)
        if not value:
            raise _invalid(path, "must compare with something")
        parts = tuple(self._compare(name, kind, operator, operand, f"{path}.{operator}") for operator, operand in value.items())
        return parts[0] if len(parts) == 1 else AllOf(parts)

    def _compare(self, name: str, kind: _Kind, operator: str, operand: JsonValue, path: str) -> Filter:
        if operator not in _OPERATORS:
            raise _unknown("OPERATOR", operator, _OPERATORS, path)
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise _too_large(path, f"is one comparison more than the {MAX_COMPARISONS} that a filter may have")
        if operator in {"$ne", "$nin"}:
            return NoneOf(self._positive(name, kind, "$eq" if operator == "$ne" else "$in", operand, path))
        return self._positive(name, kind, operator, operand, path)

    def _positive(self, name: str, kind: _Kind, operator: str, operand: JsonValue, path: str) -> Filter:
        if operator == "$exists":
            return _exists(name, kind, operand, path)
        if operator == "$in":
            return _in(name, kind, operand, path)
        if operator in _ORDERED and (kind in {_Kind.TEXT, _Kind.FLAG} or isinstance(operand, bool)):
            raise _invalid(path, "orders what has no order; use $eq or $in")
        if kind is _Kind.TIME:
            return _compare_time(name, operator, operand, path)
        return Comparison(name, _ORDERED.get(operator, Operator.EQUAL), (_scalar(kind, operand, path),))


def _kind(name: str, path: str) -> _Kind:
    if name.startswith(METADATA):
        if not _METADATA_KEY.fullmatch(name.removeprefix(METADATA)):
            raise _invalid(path, "must name a metadata key of 1 to 200 characters without quotes, backslashes or control characters")
        return _Kind.FREE
    if name not in _FIELDS:
        raise _unknown("FIELD", name, (*_FIELDS, METADATA + "<key>"), path)
    return _FIELDS[name]


def _exists(name: str, kind: _Kind, operand: JsonValue, path: str) -> Filter:
    if kind is not _Kind.FREE:
        raise _invalid(path, "asks whether a built-in field exists; only metadata may be absent")
    if not isinstance(operand, bool):
        raise _invalid(path, "must be true or false")
    present = Comparison(name, Operator.EXISTS)
    return present if operand else NoneOf(present)


def _in(name: str, kind: _Kind, operand: JsonValue, path: str) -> Filter:
    if not isinstance(operand, list) or not operand:
        raise _invalid(path, "must be a list with at least one value")
    if len(operand) > MAX_VALUES:
        raise _too_large(path, f"has more than {MAX_VALUES} values")
    if kind is _Kind.TIME:
        return AnyOf(tuple(_compare_time(name, "$eq", value, f"{path}[{index}]") for index, value in enumerate(operand)))
    return Comparison(name, Operator.IN, tuple(_scalar(kind, value, f"{path}[{index}]") for index, value in enumerate(operand)))


def _scalar(kind: _Kind, value: JsonValue, path: str) -> Scalar:
    accepted: Callable[[JsonValue], bool] = {
        _Kind.TEXT: lambda given: isinstance(given, str),
        _Kind.FLAG: lambda given: isinstance(given, bool),
    }.get(kind, lambda given: isinstance(given, Scalar))
    if not accepted(value):
        raise _invalid(path, f"must be {kind.value}")
    assert isinstance(value, Scalar)
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise _too_large(path, f"is longer than {MAX_TEXT} characters")
    return value


def _compare_time(name: str, operator: str, operand: JsonValue, path: str) -> Filter:
    """A date stands for the whole day in UTC: ``$lte`` includes it to its end, ``$gt`` begins after it, ``$eq`` is within it."""
    if isinstance(operand, str) and _DATE.fullmatch(operand):
        first, after = _day(operand, path)
        match operator:
            case "$lte":
                return Comparison(name, Operator.LESS, (after,))
            case "$gt":
                return Comparison(name, Operator.GREATER_OR_EQUAL, (after,))
            case "$eq":
                return AllOf((Comparison(name, Operator.GREATER_OR_EQUAL, (first,)), Comparison(name, Operator.LESS, (after,))))
            case _:
                return Comparison(name, _ORDERED[operator], (first,))
    return Comparison(name, _ORDERED.get(operator, Operator.EQUAL), (_instant(operand, path),))


def _day(text: str, path: str) -> tuple[str, str]:
    try:
        day = date.fromisoformat(text)
        following = day + timedelta(days=1)
    except (ValueError, OverflowError):
        raise _invalid(path, f"must be {_Kind.TIME.value}; there is no day {text}") from None
    return f"{day}T00:00:00Z", f"{following}T00:00:00Z"


def _instant(operand: JsonValue, path: str) -> str:
    if not isinstance(operand, str):
        raise _invalid(path, f"must be {_Kind.TIME.value}")
    try:
        instant = datetime.fromisoformat(operand)
        in_utc = instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _invalid(path, f"must be {_Kind.TIME.value}") from None
    if instant.tzinfo is None:
        raise _invalid(path, "must name its time zone, for instance with a Z at the end")
    return in_utc.isoformat().replace("+00:00", "Z")


def _invalid(path: str, what: str) -> AppError:
    return invalid_argument("FILTER_INVALID", f"{path} {what}.", field=path)


def _too_large(path: str, what: str) -> AppError:
    return invalid_argument("FILTER_TOO_LARGE", f"{path} {what}.", field=path)


def _unknown(what: str, name: str, known: tuple[str, ...], path: str) -> AppError:
    message = f"There is no filter {what.lower()} {name!r}; the nearest is {nearest(name, known)!r}."
    return invalid_argument(f"UNKNOWN_FILTER_{what}", message, field=path)
