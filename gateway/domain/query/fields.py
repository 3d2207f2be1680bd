"""The fields that filters know, and comparisons with them that make sense."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Final

from gateway.domain.query.filters import AllOf, Comparison, Filter, NoneOf, Operator, Place, Subject, any_of
from gateway.domain.strict_json import JsonValue
from gateway.errors import nearest
from shared.errors import AppError, invalid_argument

MAX_VALUES: Final = 500
MAX_TEXT: Final = 1000
METADATA: Final = "metadata."
COLLECTION_METADATA: Final = "collection_metadata."
ORDERED: Final = {"$lt": Operator.LESS, "$lte": Operator.LESS_OR_EQUAL, "$gt": Operator.GREATER, "$gte": Operator.GREATER_OR_EQUAL}


class Kind(Enum):
    """What a field's values are; the text tells a user what to compare it with."""

    TEXT = "a string"
    CODE = "a string in any case"
    TIME = 'a date ("2024-01-31", "2024-01" or "2024") or a time ("2024-01-31T12:00:00Z")'
    FLAG = "true or false"
    FREE = "a string, a number, true or false"


FIELDS: Final = {
    "type": Kind.CODE,
    "author": Kind.TEXT,
    "language": Kind.CODE,
    "document_id": Kind.TEXT,
    "collection": Kind.TEXT,
    "collection_id": Kind.TEXT,
    "connection_id": Kind.TEXT,
    "create_time": Kind.TIME,
    "update_time": Kind.TIME,
    "outdated": Kind.FLAG,
}
ALIASES: Final = {
    "connection": "connection_id",
    "created": "create_time",
    "created_at": "create_time",
    "document": "document_id",
    "lang": "language",
    "updated": "update_time",
    "updated_at": "update_time",
}
_METADATA_ALIAS: Final = "meta."
_METADATA_KEY: Final = re.compile(r"[^\x00-\x1f\x7f\"'\\`]{1,200}")
_DAYS: Final = re.compile(r"(?P<year>[0-9]{4})(?:[-./](?P<month>[0-9]{2})(?:[-./](?P<day>[0-9]{2}))?)?")
_DECEMBER: Final = 12


def canonical(name: str) -> str | None:
    """The field's own name; None when there is no such field."""
    if name.startswith(_METADATA_ALIAS):
        return METADATA + name.removeprefix(_METADATA_ALIAS)
    name = ALIASES.get(name, name)
    return name if name in FIELDS or metadata_key(name) is not None else None


def metadata_key(name: str) -> str | None:
    """The key of the document's or its collection's metadata that the field names; None for another field."""
    return next((name.removeprefix(prefix) for prefix in (METADATA, COLLECTION_METADATA) if name.startswith(prefix)), None)


def known_names(subject: Subject) -> tuple[str, ...]:
    return (*FIELDS, *ALIASES, METADATA + "<key>", *([COLLECTION_METADATA + "<key>"] if subject is Subject.DOCUMENTS else ()))


def unknown_field(name: str, place: Place, hint: str = "") -> AppError:
    message = f"There is no filter field {name!r}; the nearest is {nearest(name, known_names(place.subject))!r}.{hint}"
    return invalid_argument("UNKNOWN_FILTER_FIELD", message, field=place.field)


def kind_of(name: str, place: Place) -> Kind:
    """What the values of the field with this canonical name are.

    Raises:
        AppError: FILTER_INVALID when a metadata key can't be one, or is one of a collection and a search asks for it.
    """
    key = metadata_key(name)
    if key is None:
        return FIELDS[name]
    check_whose(name, place)
    if not _METADATA_KEY.fullmatch(key):
        raise place.invalid("must name a metadata key of 1 to 200 characters without quotes, backslashes or control characters")
    return Kind.FREE


def check_whose(name: str, place: Place) -> None:
    """Refuse a collection's metadata where it can't be decided.

    Raises:
        AppError: FILTER_INVALID.
    """
    if place.subject is Subject.PASSAGES and name.startswith(COLLECTION_METADATA.removesuffix(".")):
        raise place.invalid("asks for a collection's metadata, which only /api/v1/filter knows; name the collections instead")


def compare(name: str, operator: str, operand: JsonValue, place: Place) -> Filter:
    """The condition that a field, by its canonical name, satisfies one of ``$eq $ne $lt $lte $gt $gte $in $nin $exists``.

    Raises:
        AppError: FILTER_INVALID when the field can't be compared so or with that; FILTER_TOO_LARGE when that is too much.
    """
    kind = kind_of(name, place)
    if operator in {"$ne", "$nin"}:
        return NoneOf(compare(name, "$eq" if operator == "$ne" else "$in", operand, place))
    if operator == "$exists":
        return _exists(name, kind, operand, place)
    if operator == "$in":
        return _in(name, kind, operand, place)
    if operator in ORDERED and (kind in {Kind.TEXT, Kind.CODE, Kind.FLAG} or isinstance(operand, bool)):
        raise place.invalid("orders what has no order; ask for equality or for one of several values")
    if kind is Kind.TIME:
        return _compare_time(name, operator, operand, place)
    return Comparison(name, ORDERED.get(operator, Operator.EQUAL), (_scalar(kind, operand, place),))


def _exists(name: str, kind: Kind, operand: JsonValue, place: Place) -> Filter:
    if kind is not Kind.FREE:
        raise place.invalid("asks whether a built-in field exists; only metadata may be absent")
    if not isinstance(operand, bool):
        raise place.invalid("must be true or false")
    present = Comparison(name, Operator.EXISTS)
    return present if operand else NoneOf(present)


def _in(name: str, kind: Kind, operand: JsonValue, place: Place) -> Filter:
    if not isinstance(operand, list) or not operand:
        raise place.invalid("must be a list with at least one value")
    if len(operand) > MAX_VALUES:
        raise place.too_large(f"has more than {MAX_VALUES} values")
    items = [(value, place.item(index)) for index, value in enumerate(operand)]
    if kind is Kind.TIME:
        return any_of(tuple(_compare_time(name, "$eq", value, item) for value, item in items), place)
    return Comparison(name, Operator.IN, tuple(_scalar(kind, value, item) for value, item in items))


def _scalar(kind: Kind, value: JsonValue, place: Place) -> str | int | float | bool:
    accepted: Callable[[JsonValue], bool] = {
        Kind.TEXT: lambda given: isinstance(given, str),
        Kind.CODE: lambda given: isinstance(given, str),
        Kind.FLAG: lambda given: isinstance(given, bool),
    }.get(kind, lambda given: isinstance(given, str | int | float | bool))
    if not accepted(value):
        raise place.invalid(f"must be {kind.value}")
    assert isinstance(value, str | int | float | bool)
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise place.too_large(f"is longer than {MAX_TEXT} characters")
    return value.lower() if kind is Kind.CODE and isinstance(value, str) else value


def _compare_time(name: str, operator: str, operand: JsonValue, place: Place) -> Filter:
    """A day, month or year stands for all of it in UTC: ``$lte`` includes it to its end, ``$gt`` begins after it, ``$eq`` is within it."""
    if isinstance(operand, str) and (days := _DAYS.fullmatch(operand)):
        first, after = _bounds(days, place)
        match operator:
            case "$lte":
                return Comparison(name, Operator.LESS, (after,))
            case "$gt":
                return Comparison(name, Operator.GREATER_OR_EQUAL, (after,))
            case "$eq":
                return AllOf((Comparison(name, Operator.GREATER_OR_EQUAL, (first,)), Comparison(name, Operator.LESS, (after,))))
            case _:
                return Comparison(name, ORDERED[operator], (first,))
    return Comparison(name, ORDERED.get(operator, Operator.EQUAL), (_instant(operand, place),))


def _bounds(days: re.Match[str], place: Place) -> tuple[str, str]:
    """The first day, and the one after the last."""
    year, month, day = int(days["year"]), days["month"], days["day"]
    try:
        first = date(year, int(month or 1), int(day or 1))
        if day:
            after = first + timedelta(days=1)
        elif month and first.month < _DECEMBER:
            after = first.replace(month=first.month + 1)
        else:
            after = date(year + 1, 1, 1)
    except (ValueError, OverflowError):
        raise place.invalid(f"must be {Kind.TIME.value}; there is no day, month or year {days[0]}") from None
    return f"{first}T00:00:00Z", f"{after}T00:00:00Z"


def _instant(operand: JsonValue, place: Place) -> str:
    if not isinstance(operand, str):
        raise place.invalid(f"must be {Kind.TIME.value}")
    try:
        instant = datetime.fromisoformat(operand)
        in_utc = instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise place.invalid(f"must be {Kind.TIME.value}") from None
    if instant.tzinfo is None:
        raise place.invalid("must name its time zone, for instance with a Z at the end")
    return in_utc.isoformat().replace("+00:00", "Z")
