"""Filters as conditions of an SQL statement.

The condition's text is made of what stands in this file and of parameter numbers, so it depends on a filter's shape alone. Every value and
every metadata key travels beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingestor.domain.document_filters import (
    FIELDS,
    AllOf,
    AnyOf,
    Comparison,
    ContainedBy,
    Contains,
    FieldType,
    Filter,
    KeyComparison,
    NoneOf,
    Operator,
    Whose,
)

# Of `library.document` d, its `library.collection` c, and the `library.document_generation` g that searches see, if there is one.
_COLUMNS = {
    "document_id": "d.document_id",
    "collection_id": "d.collection_id",
    "connection_id": "''::text",
    "type": "d.type",
    "author": "d.author",
    "language": "d.language",
    "create_time": "coalesce(g.source_create_time, d.create_time)",
    "update_time": "coalesce(g.source_update_time, d.update_time)",
    "outdated": "false",
}
_METADATA = {Whose.DOCUMENT: "d.metadata", Whose.COLLECTION: "c.metadata"}
_TYPES = {FieldType.TEXT: "text", FieldType.TIME: "timestamptz", FieldType.BOOLEAN: "boolean"}
_SIGNS = {
    Operator.EQUAL: "=",
    Operator.LESS: "<",
    Operator.LESS_OR_EQUAL: "<=",
    Operator.GREATER: ">",
    Operator.GREATER_OR_EQUAL: ">=",
}
Add = Callable[[object], str]


def condition(filter_: Filter, parameters: list[Any]) -> str:
    """The condition that documents satisfy; never unknown, so that a negation means what it says.

    Args:
        filter_: checked.
        parameters: of the whole statement; this condition's are added to them.
    """

    def add(value: object) -> str:
        parameters.append(value)
        return f"${len(parameters)}"

    return _condition(filter_, add)


def _condition(filter_: Filter, add: Add) -> str:
    match filter_:
        case AllOf(filters) | AnyOf(filters):
            joint = " AND " if isinstance(filter_, AllOf) else " OR "
            return f"({joint.join(_condition(each, add) for each in filters)})"
        case NoneOf(negated):
            return f"(NOT {_condition(negated, add)})"
        case Comparison():
            return _comparison(filter_, add)
        case KeyComparison():
            return _key_comparison(filter_, add)
        case Contains(whose, value):
            return f"({_METADATA[whose]} @> {add(value)}::jsonb)"
        case ContainedBy(whose, value):
            return f"({_METADATA[whose]} <@ {add(value)}::jsonb)"


def _comparison(comparison: Comparison, add: Add) -> str:
    column, type_ = _COLUMNS[comparison.field], _TYPES[FIELDS[comparison.field]]
    if comparison.operator is Operator.IN:
        return f"({column} = ANY({add(list(comparison.values))}::{type_}[]))"
    # Strings are ordered as the index orders them: by their code points.
    collation = ' COLLATE "C"' if type_ == "text" and comparison.operator is not Operator.EQUAL else ""
    return f"({column}{collation} {_SIGNS[comparison.operator]} {add(comparison.values[0])}::{type_})"


def _key_comparison(comparison: KeyComparison, add: Add) -> str:
    metadata, key, operator = _METADATA[comparison.whose], comparison.key, comparison.operator
    if operator is Operator.EXISTS:
        return f"(coalesce(jsonb_typeof({metadata} -> {add(key)}::text), 'null') <> 'null')"
    if operator in {Operator.EQUAL, Operator.IN}:
        # An object contains a key with a plain value when it has that value there, and nothing else.
        return f"({metadata} @> ANY({add([{key: value} for value in comparison.values])}::jsonb[]))"
    return _ordered(f"{metadata} -> {add(key)}::text", _SIGNS[operator], comparison.values[0], add)


def _ordered(held: str, sign: str, value: object, add: Add) -> str:
    """Values of different kinds have no order, and flags have none at all."""
    if isinstance(value, bool):
        return "false"
    if isinstance(value, str):
        return f"(coalesce(jsonb_typeof({held}) = 'string' AND ({held} #>> '{{}}') COLLATE \"C\" {sign} {add(value)}::text, false))"
    return f"(coalesce(jsonb_typeof({held}) = 'number' AND ({held}) {sign} {add(value)}::jsonb, false))"
