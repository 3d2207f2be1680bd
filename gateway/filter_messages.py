"""Filters to messages."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.convert import from_json, from_value
from gateway.domain.query.filters import AllOf, AnyOf, Comparison, Filter, MetadataContainedBy, MetadataContains, NoneOf, Operator
from lectern.filter.v1 import filter_pb2

_OPERATORS = {
    Operator.EQUAL: filter_pb2.OPERATOR_EQUAL,
    Operator.LESS: filter_pb2.OPERATOR_LESS,
    Operator.LESS_OR_EQUAL: filter_pb2.OPERATOR_LESS_OR_EQUAL,
    Operator.GREATER: filter_pb2.OPERATOR_GREATER,
    Operator.GREATER_OR_EQUAL: filter_pb2.OPERATOR_GREATER_OR_EQUAL,
    Operator.IN: filter_pb2.OPERATOR_IN,
    Operator.EXISTS: filter_pb2.OPERATOR_EXISTS,
}


def from_filter(condition: Filter) -> filter_pb2.Filter:
    """The message that states ``condition``; a phrase cannot be sent, because only the gateway decides it."""
    match condition:
        case AllOf(filters):
            return filter_pb2.Filter(all_of=_list(filters))
        case AnyOf(filters):
            return filter_pb2.Filter(any_of=_list(filters))
        case NoneOf(inner):
            return filter_pb2.Filter(none_of=from_filter(inner))
        case Comparison(field, operator, values):
            operands = [from_value(value) for value in values]
            return filter_pb2.Filter(comparison=filter_pb2.Comparison(field=field, operator=_OPERATORS[operator], values=operands))
        case MetadataContains(value, field):
            return filter_pb2.Filter(metadata_contains=filter_pb2.MetadataLookup(field=field, value=from_json(value)))
        case MetadataContainedBy(value, field):
            return filter_pb2.Filter(metadata_contained_by=filter_pb2.MetadataLookup(field=field, value=from_json(value)))
        case _:
            raise TypeError(f"{type(condition).__name__} is decided on passages and never sent.")


def _list(filters: Iterable[Filter]) -> filter_pb2.FilterList:
    return filter_pb2.FilterList(filters=[from_filter(each) for each in filters])
