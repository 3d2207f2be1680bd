"""Whatever the text, its pages, headings and tokens: the chunks hold it exactly, in order, within their limits."""

from bisect import bisect_left
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ingestor.domain.chunking import ChunkLimits, cut
from ingestor.domain.parsing import Heading, PageSpan, ParsedDocument

BLANKS = [" ", "\n", "\n\n", "\u00a0", "\u3000"]
SIGNS = [". ", "! ", "? ", "« ", " » ", "M. ", "1. ", "- ", "| a | b |\n", "# ", "。"]
PIECES = st.sampled_from([*BLANKS, *SIGNS, "word", "Word", "é", "x" * 30])
TEXTS = st.one_of(st.lists(PIECES, max_size=120).map("".join), st.text(max_size=200))
LIMITS = st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(1, 60)).map(lambda n: ChunkLimits(n[0], n[0] + n[1], n[2]))


@st.composite
def documents(draw: st.DrawFn) -> ParsedDocument:
    text = draw(TEXTS)
    offsets = st.integers(0, max(0, len(text) - 1))
    headings = [Heading(start, draw(st.integers(1, 4)), f"h{start}", f"a{start}") for start in sorted(draw(st.lists(offsets, max_size=6)))]
    edges = [0, *sorted(draw(st.lists(st.integers(0, len(text)), max_size=4))), len(text)] if draw(st.booleans()) else []
    pages = [PageSpan(number, start, end) for number, (start, end) in enumerate(pairwise(edges), 1)]
    return ParsedDocument(text, "txt", pages=tuple(pages), headings=tuple(headings))


@st.composite
def tokenised(draw: st.DrawFn) -> tuple[ParsedDocument, list[int]]:
    document = draw(documents())
    starts = draw(st.lists(st.integers(0, max(0, len(document.text) - 1)), unique=True)) if document.text else []
    return document, sorted(starts)


@given(tokenised(), LIMITS)
def test_chunks_hold_every_visible_character_once_and_in_order(tokens: tuple[ParsedDocument, list[int]], limits: ChunkLimits) -> None:
    document, starts = tokens
    end = 0
    for ordinal, chunk in enumerate(cut(document, starts, limits)):
        assert chunk.ordinal == ordinal
        assert chunk.text == document.text[chunk.start : chunk.end] == chunk.text.strip()
        assert chunk.text
        assert chunk.start >= end
        assert not document.text[end : chunk.start].strip()
        end = chunk.end
    assert not document.text[end:].strip()


@given(tokenised(), LIMITS)
def test_no_chunk_exceeds_its_limits(tokens: tuple[ParsedDocument, list[int]], limits: ChunkLimits) -> None:
    document, starts = tokens
    for chunk in cut(document, starts, limits):
        assert bisect_left(starts, chunk.end) - bisect_left(starts, chunk.start) <= limits.max_tokens
        assert len(chunk.text) <= limits.max_chars


@given(tokenised(), LIMITS)
def test_every_chunk_stands_on_the_one_page_that_it_names(tokens: tuple[ParsedDocument, list[int]], limits: ChunkLimits) -> None:
    document, starts = tokens
    for chunk in cut(document, starts, limits):
        holding = [page.number for page in document.pages if page.start <= chunk.start and chunk.end <= page.end and page.start < page.end]
        assert ([chunk.first_page] if document.pages else []) == holding


@given(tokenised(), st.integers(1, 40))
def test_the_headings_of_a_chunk_are_above_its_end(tokens: tuple[ParsedDocument, list[int]], size: int) -> None:
    document, starts = tokens
    for chunk in cut(document, starts, ChunkLimits(size, size)):
        path: list[Heading] = []
        for heading in document.headings:
            if heading.start < chunk.end:
                path = [above for above in path if above.level < heading.level] + [heading]
        own = tuple(heading.text for heading in path)
        assert chunk.headings == own[: len(chunk.headings)]


@given(st.text(max_size=300), st.integers(1, 10))
def test_tokens_that_share_a_character_are_counted_each(text: str, width: int) -> None:
    starts = [offset for offset in range(len(text)) for _ in range(width)]
    for chunk in cut(ParsedDocument(text, "txt"), starts, ChunkLimits(10, 15)):
        assert len(chunk.text) * width <= max(15, width)
