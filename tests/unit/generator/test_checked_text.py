"""The whole check of a model's text, over texts rich in everything that is checked."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.domain.checked_text import CheckedText, links_of
from generator.domain.engine import Citation, SourcePassage, TextDelta
from generator.domain.links import links_in

PASSAGES = {
    1: SourcePassage("leave", "Annual leave is 26 days a year, see https://intranet.example/leave. Up to five unused days carry over."),
    2: SourcePassage("shed", "Bicycles are kept in the shed behind the workshop."),
}
LINKS = links_of(PASSAGES.values())
MARKER = re.compile(r"\[(\d+)\]", re.ASCII)
CODE = re.compile(r"`[^\n]*`|^ {0,3}```.*", re.MULTILINE | re.DOTALL)
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *"[]()!<&;#:/`\n .1a",
                *("[1]", "[2]", "[9]", "[1, 9]", "【2】", "```\n", "](", "![x](", "&#91;", "&#93;", "&#58", "\ud83c", "\udf1e", "\x00"),
                *("https://intranet.example/leave", "https://evil.example/?q=1", "<img src=", "days", "\n[1]: "),
            ]
        ),
        st.text(max_size=3),
    ),
    max_size=40,
).map("".join)


def checked(pieces: Sequence[str]) -> tuple[str, list[Citation], tuple[int, int]]:
    text = CheckedText(PASSAGES, LINKS, "en")
    events = [event for piece in pieces for event in text.feed(piece)] + list(text.finish())
    written = "".join(event.text for event in events if isinstance(event, TextDelta))
    return written, [event for event in events if isinstance(event, Citation)], (text.dropped_markers, text.removed_links)


@settings(deadline=None)
@given(TEXTS, st.data())
def test_the_outcome_does_not_depend_on_where_the_text_was_cut(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=10)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert checked(pieces) == checked([text]) == checked(list(text))


@settings(deadline=None)
@given(TEXTS)
def test_every_citation_is_true_and_every_marker_outside_of_code_has_one(text: str) -> None:
    written, citations, _ = checked([text])
    written.encode()
    cited = {citation.marker for citation in citations}
    assert len(cited) == len(citations)
    assert {int(number) for number in MARKER.findall(CODE.sub("", written))} <= cited <= {int(number) for number in MARKER.findall(written)}
    for citation in citations:
        passage = PASSAGES[citation.marker]
        assert (citation.passage_id, citation.quote) == (passage.passage_id, passage.text[citation.start : citation.end])
        assert citation.quote
    assert links_in(written) <= LINKS


@settings(deadline=None)
@given(TEXTS)
def test_a_citation_comes_after_its_marker(text: str) -> None:
    checker = CheckedText(PASSAGES, LINKS, "en")
    written = ""
    for event in [event for piece in text for event in checker.feed(piece)]:
        if isinstance(event, TextDelta):
            written += event.text
        else:
            assert f"[{event.marker}]" in written


@pytest.mark.parametrize(
    ("text", "expected", "dropped", "removed"),
    [
        ("Days car[1]ry over[1].", "Days carry over[1].", 1, 0),
        ("Days car[1][2]ry over.", "Days carry over.", 2, 0),
        ("有五天[1]假期。", "有五天[1]假期。", 0, 0),
        ("Use `list[1]` [1].", "Use `list[1]` [1].", 0, 0),
        ("```python\nx[9]\n```\nSee [9] [1].", "```python\nx[9]\n```\nSee [1].", 1, 0),
        ("An open `x[1] is text.", "An open `x[1] is text.", 0, 0),
        ("ht[9]tps://evil.example/x [1]", "https… [1]", 1, 1),
        ("https&#58[9];//evil.example [1]", "https&#58 ;//evil.example [1]", 1, 0),
        ("A list[9]\n- item [1]", "A list\n- item [1]", 1, 0),
        ("Five &#91;1&#93; days", "Five [1] days", 0, 0),
        ("See [1](https://evil.example/[1])", "See [1] (https… [1])", 0, 1),
        ("[1]: https://intranet.example/leave", "[1] : https://intranet.example/leave", 0, 0),
        ("Well ![1](https://evil.example/x.png)", "Well [1]", 0, 1),
    ],
)
def test_markers_and_links_are_checked_together(text: str, expected: str, dropped: int, removed: int) -> None:
    written, _, counts = checked([text])
    assert (written, counts) == (expected, (dropped, removed))
