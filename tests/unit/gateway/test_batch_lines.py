from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.batch_lines import read_entries
from gateway.domain.documents import BatchEntry
from shared.errors import AppError, Status

MAX_LINE = 2000


async def parts(*bodies: bytes) -> AsyncIterator[bytes]:
    for body in bodies:
        yield body


async def entries(*bodies: bytes) -> list[BatchEntry]:
    return [entry async for entry in read_entries(parts(*bodies), MAX_LINE)]


async def test_each_line_is_an_entry_and_blank_lines_are_not() -> None:
    body = b'\xef\xbb\xbf{"id":"a","name":"A","text":"one","metadata":{"k":1}}\r\n\n  \n{"text":"two"}'
    assert await entries(body) == [BatchEntry("a", "A", "one", {"k": 1}), BatchEntry("", "", "two")]


@given(st.lists(st.text(min_size=1, alphabet=st.characters(codec="utf-8", exclude_characters="\0")).filter(str.strip)), st.data())
async def test_where_the_body_is_cut_does_not_matter(texts: list[str], data: st.DataObject) -> None:
    lines = [json.dumps({"text": text}, ensure_ascii=data.draw(st.booleans())).encode() for text in texts]
    body = b"\n".join([*lines, b'{"text":"last"}'])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=5)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert [entry.text for entry in await entries(*pieces)] == [*texts, "last"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "x"', "INVALID_LINE"),
        (b'["x"]', "INVALID_LINE"),
        (b'{"text": 7}', "INVALID_LINE"),
        (b'{"text": "x", "id": 7}', "INVALID_LINE"),
        (b'{"text": "x", "metadata": []}', "INVALID_LINE"),
        (b'{"text": "x", "metadata": {"a": NaN}}', "INVALID_LINE"),
        (b'{"text": "x", "titel": "y"}', "INVALID_LINE"),
        (b'{"text": "\\ud800"}', "INVALID_LINE"),
        (b'{"text": "x", "name": "' + b"n" * 501 + b'"}', "INVALID_LINE"),
        (b'{"text": "a\\u0000b"}', "NUL_CHARACTER"),
        (b'{"text": "caf\xe9"}', "INVALID_ENCODING"),
        (b"{}", "EMPTY_TEXT"),
        (b'{"text": ""}', "EMPTY_TEXT"),
        (b'{"text": " \\n "}', "EMPTY_TEXT"),
        (b'{"text": "' + b"x" * MAX_LINE + b'"}', "LINE_TOO_LONG"),
    ],
)
async def test_a_bad_line_is_named_by_its_number(line: bytes, reason: str) -> None:
    with pytest.raises(AppError) as raised:
        await entries(b'{"text":"good"}\n\n' + line + b'\n{"text":"good"}')
    error = raised.value
    assert (error.reason, error.status) == (reason, Status.INVALID_ARGUMENT)
    assert error.metadata["line"] == "3"
    assert error.violations[0].field == "line 3"
    assert error.message.startswith("Line 3 ")


async def test_an_endless_line_ends_at_the_limit_and_not_with_the_body() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 500

    with pytest.raises(AppError) as raised:
        [entry async for entry in read_entries(endless(), MAX_LINE)]
    assert raised.value.reason == "LINE_TOO_LONG"
    assert taken == 5


@pytest.mark.parametrize("body", [b"", b"\n\n", b" "])
async def test_a_batch_without_a_line_is_refused(body: bytes) -> None:
    with pytest.raises(AppError) as raised:
        await entries(body)
    assert raised.value.reason == "EMPTY_BATCH"


async def test_an_unknown_field_is_told_the_nearest() -> None:
    with pytest.raises(AppError, match="the nearest is 'text'"):
        await entries(b'{"txt": "x"}')
