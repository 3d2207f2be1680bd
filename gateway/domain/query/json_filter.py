"""Filters that are written as JSON."""

from __future__ import annotations

import json
from typing import Final

from gateway.domain.query.fields import COLLECTION_METADATA, MAX_TEXT, METADATA, ORDERED, canonical, check_whose, compare, unknown_field
from gateway.domain.query.filters import (
    Filter,
    MetadataContainedBy,
    MetadataContains,
    Phrase,
    Place,
    Subject,
    all_of,
    any_of,
    check_size,
    none_of,
)
from gateway.domain.query.passage_conditions import words_of
from gateway.domain.strict_json import JsonValue
from gateway.errors import nearest
from shared.errors import AppError, invalid_argument

MAX_DEPTH: Final = 8
MAX_COMPARISONS: Final = 100
MAX_LOOKUP_CHARS: Final = 10_000
_COMBINATIONS: Final = ("$and", "$or", "$not", "$phrase")
_OPERATORS: Final = ("$eq", "$ne", *ORDERED, "$in", "$nin", "$exists")
_LOOKUPS: Final = ("$contains", "$contained_by", "$has_key", "$has_keys", "$has_any_keys")
_WHOLE: Final = (METADATA.removesuffix("."), COLLECTION_METADATA.removesuffix("."))


def compile_filter(source: dict[str, JsonValue], subject: Subject = Subject.PASSAGES) -> Filter | None:
    """The condition that ``source`` states about ``subject``; None when it states none.

    Raises:
        AppError: UNKNOWN_FILTER_FIELD and UNKNOWN_FILTER_OPERATOR name the nearest valid one; FILTER_INVALID says what is wrong where;
            FILTER_TOO_LARGE when it is nested too deeply or compares too much.
    """
    if not source:
        return None
    place = Place("filter", "filter", subject)
    return check_size(_Compiler(subject).conjunction(source, place, 0), place)


class _Compiler:
    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._comparisons = 0

    def _at(self, path: str) -> Place:
        return Place(path, path, self._subject)

    def conjunction(self, source: JsonValue, place: Place, depth: int) -> Filter:
        """The condition that all members of an object hold."""
        if not isinstance(source, dict) or not source:
            raise place.invalid("must be an object with at least one condition")
        if depth >= MAX_DEPTH:
            raise place.too_large(f"is nested deeper than {MAX_DEPTH} levels")
        parts = [self._member(name, value, self._at(f"{place.field}.{name}"), depth) for name, value in source.items()]
        return all_of(parts)

    def _member(self, name: str, value: JsonValue, place: Place, depth: int) -> Filter:
        if name in {"$and", "$or"}:
            parts = self._list(value, place, depth)
            return all_of(parts) if name == "$and" else any_of(parts, place)
        if name == "$not":
            return none_of(self.conjunction(value, place, depth + 1), place)
        if name == "$phrase":
            return _phrase(value, place)
        if name.startswith("$"):
            raise _unknown_operator(name, _COMBINATIONS, place)
        if name in _WHOLE and isinstance(value, dict) and value and all(operator.startswith("$") for operator in value):
            check_whose(name, place)
            return self._lookups(name, value, place)
        return self._field(name, value, place)

    def _list(self, value: JsonValue, place: Place, depth: int) -> tuple[Filter, ...]:
        if not isinstance(value, list) or not value:
            raise place.invalid("must be a list with at least one filter")
        return tuple(self.conjunction(part, self._at(f"{place.field}[{index}]"), depth + 1) for index, part in enumerate(value))

    def _field(self, name: str, value: JsonValue, place: Place) -> Filter:
        field = canonical(name)
        if field is None:
            raise unknown_field(name, place)
        if not isinstance(value, dict):
            return self._compare(field, "$eq", value, place)
        if not value:
            raise place.invalid("must compare with something")
        parts = [self._compare(field, operator, operand, self._at(f"{place.field}.{operator}")) for operator, operand in value.items()]
        return all_of(parts)

    def _compare(self, field: str, operator: str, operand: JsonValue, place: Place) -> Filter:
        if operator not in _OPERATORS:
            raise _unknown_operator(operator, _OPERATORS, place)
        self._count(place)
        return compare(field, operator, operand, place)

    def _lookups(self, whole: str, operators: dict[str, JsonValue], place: Place) -> Filter:
        """Conditions on metadata as a whole."""
        return all_of([self._lookup(whole, name, operand, self._at(f"{place.field}.{name}")) for name, operand in operators.items()])

    def _lookup(self, whole: str, operator: str, operand: JsonValue, place: Place) -> Filter:
        match operator:
            case "$contains" | "$contained_by":
                if not isinstance(operand, dict):
                    raise place.invalid("must be an object of keys and values")
                if len(json.dumps(operand)) > MAX_LOOKUP_CHARS:
                    raise place.too_large(f"is longer than {MAX_LOOKUP_CHARS} characters")
                return self._contains(whole, operand, place) if operator == "$contains" else MetadataContainedBy(operand, whole)
            case "$has_key":
                return self._has_keys(whole, [operand], place)[0]
            case "$has_keys":
                return all_of(self._has_keys(whole, operand, place))
            case "$has_any_keys":
                return any_of(self._has_keys(whole, operand, place), place)
            case _:
                raise _unknown_operator(operator, _LOOKUPS, place)

    def _contains(self, whole: str, wanted: dict[str, JsonValue], place: Place) -> Filter:
        """Plain values are compared in the index; lists and objects only the document's own metadata can tell."""
        plain = {key: value for key, value in wanted.items() if isinstance(value, str | int | float | bool)}
        rest = {key: value for key, value in wanted.items() if key not in plain}
        parts = [self._compare(f"{whole}.{key}", "$eq", value, self._at(f"{place.field}.{key}")) for key, value in plain.items()]
        return all_of([*parts, MetadataContains(rest, whole)] if rest or not parts else parts)

    def _has_keys(self, whole: str, keys: JsonValue, place: Place) -> tuple[Filter, ...]:
        if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
            raise place.invalid("must name metadata keys")
        return tuple(self._compare(f"{whole}.{key}", "$exists", operand=True, place=place) for key in keys)

    def _count(self, place: Place) -> None:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise place.too_large(f"is one comparison more than the {MAX_COMPARISONS} that a filter may have")


def _phrase(value: JsonValue, place: Place) -> Filter:
    if place.subject is Subject.DOCUMENTS:
        raise place.invalid("asks for words in a passage's text, which only a search knows; send it to /api/v1/search")
    words = words_of(value) if isinstance(value, str) and len(value) <= MAX_TEXT else ()
    if not words:
        raise place.invalid(f"must be a string with at least one word and at most {MAX_TEXT} characters")
    return Phrase(words)


def _unknown_operator(name: str, known: tuple[str, ...], place: Place) -> AppError:
    message = f"There is no filter operator {name!r}; the nearest is {nearest(name, known)!r}."
    return invalid_argument("UNKNOWN_FILTER_OPERATOR", message, field=place.field)
