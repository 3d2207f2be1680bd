from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.strict_json import MAX_DEPTH, parse
from shared.errors import AppError


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "INVALID_JSON"),
        (b"{", "INVALID_JSON"),
        (b"{} {}", "INVALID_JSON"),
        (b"NaN", "INVALID_JSON"),
        (b"[-Infinity]", "INVALID_JSON"),
        (b"1e999", "INVALID_JSON"),
        (b"9007199254740993", "INVALID_JSON"),
        (b"1" * 5000, "INVALID_JSON"),
        (b'"\\udfff"', "INVALID_JSON"),
        (b'{"\\ud800": 1}', "INVALID_JSON"),
        (b"[" * 100_000, "INVALID_JSON"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "INVALID_JSON"),
        (b'"a\\u0000b"', "NUL_CHARACTER"),
        (b'{"a\\u0000": 1}', "NUL_CHARACTER"),
        (b'"\xff"', "INVALID_ENCODING"),
        ('"é"'.encode("utf-16"), "INVALID_ENCODING"),
    ],
)
def test_what_no_store_could_keep_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(AppError) as raised:
        parse(body)
    assert raised.value.reason == reason


texts = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"))
leaves = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts


@given(st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=15), st.booleans())
def test_everything_else_is_read_as_it_was_written(value: object, ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


def test_the_fault_is_named_by_line_and_column() -> None:
    with pytest.raises(AppError, match="line 2, column 8"):
        parse(b'{\n"a": 1 "b"}')
