from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import AppError
from shared.paging import MAX_PAGE_SIZE, PageTokens, page_size

tokens = PageTokens(b"k" * 32)
queries = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4)
positions = st.lists(st.text(max_size=20), min_size=1, max_size=3).map(tuple)


@given(queries, positions)
def test_a_token_returns_the_position_it_was_made_for(query: dict[str, str], position: tuple[str, ...]) -> None:
    assert tokens.decode(query, tokens.encode(query, position)) == position


@given(queries, queries, positions)
def test_a_token_of_another_query_is_refused(one: dict[str, str], other: dict[str, str], position: tuple[str, ...]) -> None:
    if one == other:
        return
    with pytest.raises(AppError) as raised:
        tokens.decode(other, tokens.encode(one, position))
    assert raised.value.reason == "PAGE_TOKEN_INVALID"


@given(st.text(min_size=1, max_size=60))
def test_made_up_tokens_are_refused(token: str) -> None:
    with pytest.raises(AppError) as raised:
        tokens.decode({}, token)
    assert raised.value.reason == "PAGE_TOKEN_INVALID"


def test_a_token_signed_with_another_key_is_refused() -> None:
    token = PageTokens(b"x" * 32).encode({}, ("a",))
    with pytest.raises(AppError):
        tokens.decode({}, token)


def test_an_empty_token_means_the_beginning() -> None:
    assert tokens.decode({"a": "b"}, "") is None


@pytest.mark.parametrize(("requested", "used"), [(0, 50), (1, 1), (MAX_PAGE_SIZE, MAX_PAGE_SIZE)])
def test_page_sizes_in_range_are_used(requested: int, used: int) -> None:
    assert page_size(requested) == used


@pytest.mark.parametrize("requested", [-1, MAX_PAGE_SIZE + 1])
def test_page_sizes_out_of_range_are_refused(requested: int) -> None:
    with pytest.raises(AppError) as raised:
        page_size(requested)
    assert raised.value.reason == "PAGE_SIZE_OUT_OF_RANGE"
