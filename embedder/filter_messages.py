"""Filters from messages."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import struct_pb2

from embedder import errors
from embedder.domain.filters import AllOf, AnyOf, Filter, NoneOf, Operator, check_size, comparison
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
    match message.WhichOneof("condition"):
        case "all_of":
            return AllOf(_filters(message.all_of, depth))
        case "any_of":
            return AnyOf(_filters(message.any_of, depth))
        case "none_of":
            return NoneOf(_filter(message.none_of, depth + 1))
        case "comparison":
            compared = message.comparison
            if compared.operator not in _OPERATORS:
                raise errors.malformed_filter(f"The comparison of {compared.field!r} names no operator.")
            return comparison(compared.field, _OPERATORS[compared.operator], _values(compared.values))
        case None:
            raise errors.malformed_filter("A filter must be one of all_of, any_of, none_of and comparison; it is empty.")
        case lookup:
            raise errors.malformed_filter(f"The index knows no metadata as a whole, so it cannot decide {lookup}; the library can.")


def _filters(message: filter_pb2.FilterList, depth: int) -> tuple[Filter, ...]:
    if not message.filters:
        raise errors.malformed_filter("all_of and any_of need at least one filter.")
    return tuple(_filter(each, depth + 1) for each in message.filters)


def _values(messages: Sequence[struct_pb2.Value]) -> list[object]:
    """Python values; what is no string, number or boolean becomes None, which no field can be compared with."""
    values: list[object] = []
    for message in messages:
        kind = message.WhichOneof("kind")
        values.append(getattr(message, kind) if kind in {"string_value", "number_value", "bool_value"} else None)
    return values
