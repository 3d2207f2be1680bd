from __future__ import annotations

from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from gateway.convert import from_json, to_json
from gateway.domain.query.json_filter import compile_filter
from gateway.domain.strict_json import JsonValue
from gateway.filter_messages import from_filter
from lectern.filter.v1 import filter_pb2

texts = st.text(alphabet=st.characters(codec="utf-8"))
leaves = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts
metadata = st.dictionaries(texts, st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=10))


@given(metadata)
def test_metadata_comes_back_as_it_was_given(given_metadata: dict[str, JsonValue]) -> None:
    wire = from_json(given_metadata).SerializeToString()
    assert to_json(Struct.FromString(wire)) == given_metadata


def test_whole_numbers_come_back_as_integers() -> None:
    back = to_json(from_json({"year": 2024, "ratio": 0.5}))
    assert (type(back["year"]), type(back["ratio"])) == (int, float)


def test_a_filter_keeps_its_shape_on_the_wire() -> None:
    condition = compile_filter({"$or": [{"type": "pdf"}, {"metadata.n": {"$gte": 3}}], "outdated": {"$ne": True}})
    assert condition is not None
    message = from_filter(condition)
    either, never = message.all_of.filters
    assert [part.comparison.field for part in either.any_of.filters] == ["type", "metadata.n"]
    assert either.any_of.filters[1].comparison.operator == filter_pb2.OPERATOR_GREATER_OR_EQUAL
    assert either.any_of.filters[1].comparison.values[0].number_value == 3
    assert never.none_of.comparison.values[0].bool_value is True
