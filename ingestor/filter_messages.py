"""Filters from messages."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import struct_pb2

from ingestor import errors
from ingestor.convert import from_metadata
from ingestor.domain.document_filters import (
    AllOf,
    AnyOf,
    ContainedBy,
    Contains,
    Filter,
    NoneOf,
    Operator,
    check_size,
    comparison,
    whose_metadata,
)
from ingestor.domain.metadata import check_metadata
from lectern.filter.v1 import filter_pb2

_OPERATORS = {
    filter_pb2.OPERATOR_EQUAL: Operator.EQUAL,
    filter_pb2.OPERATOR_LESS: Operator.LESS,
    filter_pb2.OPERATOR_LESS_OR_EQUAL: Operator.LESS_OR_EQUAL,
    filter_pb2.OPERATOR_GREATER: Operator.GREATER,
    filter_pb2.OPERATOR_GREATER_OR_EQUAL: Operator.GREATER_OR_EQUAL,
    filter_pb2.OPERATOR_IN: Operator.IN,
    filter_pb2.OPERATOR_EXISTS: Operator.EXISTS,
}
# Filters are nested messages; this many levels are read before the depth is refused.
_DEEPEST = 64


def to_filter(message: filter_pb2.Filter) -> Filter:
    """The filter that a message states.

    Raises:
        AppError: what is wrong with it.
    """
    return check_size(_filter(message, 1))


def _filter(message: filter_pb2.Filter, depth: int) -> Filter:
    if depth > _DEEPEST:
        raise errors.malformed_filter("The filter is nested too deeply.")
    filter_: Filter
    match message.WhichOneof("condition"):
        case "all_of":
            filter_ = AllOf(_filters(message.all_of, depth))
        case "any_of":
            filter_ = AnyOf(_filters(message.any_of, depth))
        case "none_of":
            filter_ = NoneOf(_filter(message.none_of, depth + 1))
        case "comparison":
            filter_ = _comparison(message.comparison)
        case "metadata_contains":
            filter_ = Contains(whose_metadata(message.metadata_contains.field), _value(message.metadata_contains))
        case "metadata_contained_by":
            filter_ = ContainedBy(whose_metadata(message.metadata_contained_by.field), _value(message.metadata_contained_by))
        case None:
            raise errors.malformed_filter("A filter must hold a condition; it is empty.")
    return filter_


def _filters(message: filter_pb2.FilterList, depth: int) -> tuple[Filter, ...]:
    if not message.filters:
        raise errors.malformed_filter("all_of and any_of need at least one filter.")
    return tuple(_filter(each, depth + 1) for each in message.filters)


def _comparison(message: filter_pb2.Comparison) -> Filter:
    if message.operator not in _OPERATORS:
        raise errors.malformed_filter(f"The comparison of {message.field!r} names no operator.")
    return comparison(message.field, _OPERATORS[message.operator], _values(message.values))


def _value(message: filter_pb2.MetadataLookup) -> dict[str, object]:
    value = dict(from_metadata(message.value))
    check_metadata(value)
    return value


def _values(messages: Sequence[struct_pb2.Value]) -> list[object]:
    """Python values; what is no string, number or boolean becomes None, which no field can be compared with."""
    values: list[object] = []
    for message in messages:
        kind = message.WhichOneof("kind")
        values.append(getattr(message, kind) if kind in {"string_value", "number_value", "bool_value"} else None)
    return values
