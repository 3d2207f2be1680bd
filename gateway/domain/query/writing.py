"""Filters as people write them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

from gateway.domain.query.fields import FIELDS, METADATA, Kind, metadata_key
from gateway.domain.query.filters import (
    AllOf,
    AnyOf,
    Comparison,
    Filter,
    MetadataContainedBy,
    MetadataContains,
    NoneOf,
    Operator,
    Phrase,
    Scalar,
)
from gateway.domain.query.language import NUMBER
from gateway.domain.strict_json import JsonValue

_SIGNS: Final = {Operator.LESS: "<", Operator.LESS_OR_EQUAL: "<=", Operator.GREATER: ">", Operator.GREATER_OR_EQUAL: ">="}
_KEY: Final = re.compile(r"[\w.-]*\w")
# What needs no quotes; in metadata it must not look like a number or a flag either.
_BARE: Final = re.compile(r"\w[\w-]*")
_FLAGS: Final = {"true", "false"}


def clauses(filter_: Filter | None) -> list[Filter]:
    """What a filter joins by `and` and `or`, in its order: conditions and negations."""
    match filter_:
        case None:
            return []
        case AllOf(filters) | AnyOf(filters):
            return [clause for each in filters for clause in clauses(each)]
        case _:
            return [filter_]


def write(filter_: Filter) -> str:
    """A filter in the query language, which reads it back as it is; as JSON where that has no words for it."""
    written = _written(filter_)
    return json.dumps(_json(filter_), ensure_ascii=False) if written is None else written


def _written(filter_: Filter) -> str | None:
    match filter_:
        case AllOf(filters):
            return _joined(filters, " ")
        case AnyOf(filters):
            return _joined(filters, " OR ")
        case NoneOf(inner):
            # Two signs side by side would be no negation.
            written = _nested(inner, (AllOf, AnyOf, NoneOf))
            return None if written is None else f"-{written}"
        case Phrase(words):
            return _quoted(" ".join(words))
        case Comparison():
            return _comparison(filter_)
        case MetadataContains() | MetadataContainedBy():
            return None


def _joined(filters: Sequence[Filter], joint: str) -> str | None:
    parts = [_nested(each) for each in filters]
    stated = [part for part in parts if part is not None]
    return joint.join(stated) if len(stated) == len(parts) else None


def _nested(filter_: Filter, parenthesised: tuple[type[Filter], ...] = (AllOf, AnyOf)) -> str | None:
    written = _written(filter_)
    return f"({written})" if written is not None and isinstance(filter_, parenthesised) else written


def _comparison(comparison: Comparison) -> str | None:
    name, values = comparison.field, comparison.values
    key = metadata_key(name)
    if comparison.operator is Operator.EXISTS:
        return f"has:{_text(key, Kind.TEXT)}" if key is not None and name.startswith(METADATA) else None
    if key is not None and not _KEY.fullmatch(key):
        return None
    kind = Kind.FREE if key is not None else FIELDS[name]
    if comparison.operator in _SIGNS:
        value = _number(values[0]) if isinstance(values[0], int | float) else _text(values[0], kind)
        return None if value is None else f"{name}{_SIGNS[comparison.operator]}{value}"
    written = list(_values(values, kind))
    stated = [value for value in written if value is not None]
    if len(stated) < len(written):
        return None
    return f"{name}:{stated[0]}" if len(stated) == 1 else f"{name}:({' '.join(stated)})"


def _values(values: Sequence[Scalar], kind: Kind) -> Iterator[str | None]:
    """Values as they are written; None for one that can't be. In metadata 7 is written for the number and the string."""
    remaining = list(values)
    while remaining:
        value = remaining.pop(0)
        if isinstance(value, str):
            yield _text(value, kind)
            continue
        written = str(value).lower() if isinstance(value, bool) else _number(value)
        if kind is Kind.FREE and remaining[:1] != [written]:
            yield None
            return
        del remaining[: kind is Kind.FREE]
        yield written


def _number(value: float) -> str | None:
    return str(value) if NUMBER.fullmatch(str(value)) else None


def _text(text: str, kind: Kind) -> str:
    read_otherwise = kind is Kind.FREE and (NUMBER.fullmatch(text) or text in _FLAGS)
    return text if kind is Kind.TIME or (_BARE.fullmatch(text) and not read_otherwise) else _quoted(text)


def _quoted(text: str) -> str:
    return '"{}"'.format(text.replace("\\", r"\\").replace('"', r"\""))


def _json(filter_: Filter) -> dict[str, JsonValue]:
    name: str
    value: JsonValue
    match filter_:
        case AllOf(filters):
            name, value = "$and", [_json(each) for each in filters]
        case AnyOf(filters):
            name, value = "$or", [_json(each) for each in filters]
        case NoneOf(inner):
            name, value = "$not", _json(inner)
        case Phrase(words):
            name, value = "$phrase", " ".join(words)
        case MetadataContains(whole, field):
            name, value = field, {"$contains": dict(whole)}
        case MetadataContainedBy(whole, field):
            name, value = field, {"$contained_by": dict(whole)}
        case Comparison(field, operator, values):
            name, value = field, {operator.value: _operand(operator, values)}
    return {name: value}


def _operand(operator: Operator, values: Sequence[Scalar]) -> JsonValue:
    if operator is Operator.EXISTS:
        return True
    return list(values) if operator is Operator.IN else values[0]
