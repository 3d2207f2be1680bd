"""The Markdown sanitiser, judged by a real Markdown parser."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from generator.domain.links import links_in
from generator.domain.sanitising import MarkdownSanitiser, sanitised

ALLOWED = frozenset({"https://intranet.example/leave", "https://intranet.example/a_(b)?x=1", "www.example.org/x"})
MARKDOWN = MarkdownIt("commonmark", {"html": True})
# What GFM and its like make links of without any mark-up.
BARE_LINK = re.compile(r"(?:\b(?:https?|ftp)://|(?<![\w.])www\.)[^\s<>\[\]]*[^\W_]", re.IGNORECASE)
PIECES = [
    *"[]()<>!\\:/.\n \"'`*_~#=?&;-1a",
    "](", "![", "[1]", "//", "://", "http", "https://", "evil.example", "www.", "mailto:", "javascript:", "/x", "]:", "```", "    ",
    "](/y)", "](https://intranet.example/leave)", "https://evil.example/?q=secret", "https://intranet.example/leave", "https://intranet.example/a_(b)?x=1",
    "<img src=", "<a href=", "[1]: ", "> ", "- ",
]  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=30).map("".join)


def in_pieces(pieces: Sequence[str]) -> str:
    sanitiser = MarkdownSanitiser(ALLOWED)
    return "".join([*map(sanitiser.feed, pieces), sanitiser.finish()])


def tokens(text: str) -> list[Token]:
    return [each for token in MARKDOWN.parse(text) for each in (token, *(token.children or ()))]


@settings(deadline=None)
@given(TEXTS, st.data())
def test_the_outcome_does_not_depend_on_where_the_text_was_cut(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=10)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert in_pieces(pieces) == in_pieces([text]) == in_pieces(list(text))


@settings(deadline=None)
@given(TEXTS)
def test_a_markdown_parser_finds_no_image_no_html_and_no_foreign_link(text: str) -> None:
    shown = sanitised(text, ALLOWED)
    for token in tokens(shown):
        assert token.type not in {"image", "html_inline", "html_block"}
        if token.type == "link_open":
            target = str(token.attrs["href"])
            assert target in ALLOWED or re.match(r"/(?!/)", target), target
        if token.type == "text":
            # Emphasis may end within an address.
            assert all(any(whole.startswith(link) for whole in ALLOWED) for link in links_in(" ".join(BARE_LINK.findall(token.content))))


@settings(deadline=None)
@given(TEXTS)
def test_what_is_shown_is_left_as_it_is_when_it_is_sanitised_again(text: str) -> None:
    shown = sanitised(text, ALLOWED)
    again = MarkdownSanitiser(ALLOWED)
    assert again.feed(shown) + again.finish() == shown
    assert again.removed == 0


@pytest.mark.parametrize(
    ("text", "expected", "removed"),
    [
        ("See https://intranet.example/leave.", "See https://intranet.example/leave.", 0),
        ("See https://evil.example/?q=secret.", "See https….", 1),
        ("(www.evil.example)", "(www…)", 1),
        ("https://intranet.example/leave?q=secret", "https…", 1),
        ("https://intranet.example/leave[secret]", "https://intranet.example/leave [secret]", 0),
        ("[leave](https://intranet.example/leave)", "[leave](https://intranet.example/leave)", 0),
        ("[leave](<https://intranet.example/leave> 'Leave')", "[leave](https://intranet.example/leave)", 0),
        ("[a](https://intranet.example/a_(b)?x=1)", "[a](https://intranet.example/a_(b)?x=1)", 0),
        ("[the form](https://intranet.example/leave)s.", "[the form](https://intranet.example/leave) s.", 0),
        ("](https://intranet.example/leave)?q=secret", "](https://intranet.example/leave) ?q=secret", 0),
        ("**[leave](https://intranet.example/leave)**, so", "**[leave](https://intranet.example/leave)**, so", 0),
        ("[leave](https://evil.example)", "[leave]", 1),
        ("[leave](https\\://evil.example)", "[leave]", 1),
        ("[leave](//evil.example/x)", "[leave]", 1),
        ("[leave](javascript:alert)", "[leave]", 1),
        ("[leave](/documents/7)", "[leave](/documents/7)", 0),
        ("[leave](/\\evil.example)", "[leave]", 1),
        ("[leave](\nhttps://evil.example)", "[leave] (\nhttps…)", 1),
        ("[1](https://intranet.example/leave) and [1](/x)", "[1] and [1]", 0),
        ("[a](/x)(https://evil.example)", "[a](/x)(https…)", 1),
        ("[a](x)(https://evil.example)", "[a]", 2),
        ("![x](https://evil.example/?q=secret)", "[x]", 1),
        ("![x](https://intranet.example/leave)", "[x](https://intranet.example/leave)", 0),
        ("https://evil.example![x](/y)", "https…! [x](/y)", 1),
        ("!![x](/y)", "!! [x](/y)", 0),
        ("Well done![1]", "Well done! [1]", 0),
        ("[1]: https://evil.example", "[1] : https…", 1),
        ("<img src=x onerror=y>", "‹img src=x onerror=y>", 0),
        ("</b><!-- <?x <https://evil.example>", "‹/b>‹!-- ‹?x ‹https…>", 1),
        ("2 < 3 and a <- b", "2 < 3 and a <- b", 0),
        ("https:\\/\\/evil.example", "https…", 1),
        ("//evil.example/x", "…", 1),
        ("//https://evil.example/x", "…", 1),
        ("https:///evil.example/x", "https…", 1),
        ("a // comment and //comment", "a // comment and //comment", 0),
        ("Note: 10:30, e.g. a/b... C:\\x", "Note: 10:30, e.g. a/b... C:\\x", 0),
        ("mailto:x@evil.example?body=secret", "mailto…", 1),
        ("ann@example.org", "ann@example.org", 0),
        ("请看https://evil.example/x。好", "请看https…。好", 1),
        ("odd [brackets] (and words)", "odd [brackets] (and words)", 0),
        ("f[0](the first)", "f[0] (the first)", 0),
    ],
)
def test_what_would_reach_out_is_taken_out(text: str, expected: str, removed: int) -> None:
    sanitiser = MarkdownSanitiser(ALLOWED)
    assert (sanitiser.feed(text) + sanitiser.finish(), sanitiser.removed) == (expected, removed)


def test_words_are_shown_as_they_come() -> None:
    sanitiser = MarkdownSanitiser(ALLOWED)
    assert [sanitiser.feed(piece) for piece in ["Five", " days", ": see", " http"]] == ["Five", " days", ": see", " http"]


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("See https://a.example/x, (https://b.example/y_(z)).", {"https://a.example/x", "https://b.example/y_(z)"}),
        ("**www.c.example**", {"www.c.example"}),
        ("[t](https://a.example/x) ![i](//b.example/i.png) <ftp://c.example>", {"https://a.example/x", "//b.example/i.png", "ftp://c.example"}),
        ("https://a.example/snake\\_case", {"https://a.example/snake_case"}),
        ("no links: 10:30 // a.b", set()),
        ("https://a.example/" + "x" * 3000, set()),
    ],
)  # fmt: skip
def test_links_are_found_without_the_punctuation_after_them(text: str, links: set[str]) -> None:
    assert links_in(text) == links


@settings(deadline=None)
@given(TEXTS)
def test_a_text_may_show_every_link_that_is_found_in_it(text: str) -> None:
    for link in links_in(text):
        assert link in sanitised(f"See {link} there.", links_in(text))


def test_a_long_line_of_brackets_takes_linear_time() -> None:
    assert len(sanitised("](" * 20_000, ())) >= 40_000
    assert len(sanitised("](" + "(" * 20_000, ())) >= 20_000
    assert len(sanitised("." * 40_000, ())) == 40_000
