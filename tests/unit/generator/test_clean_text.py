from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.domain.clean_text import TextCleaner, clean

PIECES = [
    "&",
    "#",
    ";",
    "amp",
    "58",
    "x3A",
    "colon",
    "lt",
    "\ud83c",
    "\udf1e",
    "\r",
    "\n",
    "\x00",
    "\x85",
    "\u202e",
    "\U000e0041",
    "a",
    "é",
]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(alphabet=st.characters(), max_size=3)), max_size=30).map("".join)


@settings(deadline=None)
@given(TEXTS, st.data())
def test_the_outcome_does_not_depend_on_where_the_text_was_cut(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=10)))
    cleaner = TextCleaner()
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join([*map(cleaner.feed, pieces), cleaner.finish()]) == clean(text)


@settings(deadline=None)
@given(TEXTS)
def test_a_clean_text_can_be_sent_and_has_nothing_to_be_cleaned(text: str) -> None:
    cleaned = clean(text)
    assert cleaned.encode().decode() == cleaned
    assert all(character in "\n\t" or unicodedata.category(character) != "Cc" for character in cleaned)
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ud83c\udf1e \ud83c and \udf1e", "\N{SUN WITH FACE} \N{REPLACEMENT CHARACTER} and \N{REPLACEMENT CHARACTER}"),
        ("one\r\ntwo\rthree\x0bfour", "one\ntwo\nthree\nfour"),
        ("a\x00b\x1b[31m\x7f", "ab[31m"),
        ("safe\u202egnp.exe \U000e0041\ufeff", "safegnp.exe "),
        ("https&#58;//x &#x3a;&colon; &amp;#58;", "https://x :: :"),
        ("AT&T, R&D; &nosuch; &copy; &#0; &#1114112;", "AT&T, R&D; &nosuch; © \N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}"),
        ("&#58&semi;", "&#58 ;"),
        ("famille \N{WOMAN}\u200d\N{GIRL}", "famille \N{WOMAN}\u200d\N{GIRL}"),
    ],
)
def test_what_is_broken_or_hidden_is_mended_or_taken_out(text: str, expected: str) -> None:
    assert clean(text) == expected
