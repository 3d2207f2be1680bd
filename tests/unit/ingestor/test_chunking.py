import re

import pytest

from ingestor.domain.chunking import Chunk, ChunkLimits, cut
from ingestor.domain.parsing import Heading, PageSpan, ParsedDocument


def words(text: str) -> list[int]:
    """A tokenizer whose tokens are words and signs."""
    return [match.start() for match in re.finditer(r"\w+|[^\w\s]", text)]


def markdown(text: str) -> ParsedDocument:
    """A document whose headings are its Markdown headings."""
    headings = tuple(
        Heading(match.start(), len(match[1]), match[2], match[2].lower().replace(" ", "-"))
        for match in re.finditer(r"^(#+) (.*)$", text, re.MULTILINE)
    )
    return ParsedDocument(text, "md", headings=headings)


def chunks_of(document: ParsedDocument, target: int, maximum: int | None = None, **more: int) -> list[Chunk]:
    return cut(document, words(document.text), ChunkLimits(target, maximum or target, **more))


def test_a_chunk_does_not_straddle_sections_and_knows_the_headings_above_it() -> None:
    body = "word " * 20
    chunks = chunks_of(markdown(f"Before {body}\n\n# A\n\n{body}\n\n## B\n\n{body}\n\n# C\n\n{body}"), 40)
    assert [chunk.headings for chunk in chunks] == [(), ("A",), ("A", "B"), ("C",)]
    assert [chunk.anchor for chunk in chunks] == ["", "a", "b", "c"]
    assert [chunk.text.split("\n")[0] for chunk in chunks[1:]] == ["# A", "## B", "# C"]


def test_tiny_sections_of_one_parent_share_a_chunk_up_to_a_quarter_of_the_target() -> None:
    sections = "".join(f"## S{n}\n\nOnly five words stand here.\n\n" for n in range(6))
    chunks = chunks_of(markdown(f"# Parent\n\n{'word ' * 30}\n\n{sections}"), 80)
    assert [chunk.text.count("## ") for chunk in chunks] == [0, 3, 3]
    assert [chunk.headings for chunk in chunks[1:]] == [("Parent",)] * 2


def test_tiny_sections_without_a_parent_stay_apart() -> None:
    assert len(chunks_of(markdown("# A\n\nShort.\n\n# B\n\nShort."), 80)) == 2


def test_a_title_right_above_its_first_subsection_goes_with_it() -> None:
    chunks = chunks_of(markdown(f"# Guide\n\n## Install\n\n{'word ' * 30}\n\n## Use\n\n{'word ' * 30}"), 40)
    assert [chunk.headings for chunk in chunks] == [("Guide", "Install"), ("Guide", "Use")]
    assert chunks[0].anchor == "install"
    assert chunks[0].text.startswith("# Guide\n\n## Install")


def test_a_chunk_ends_at_a_paragraph_rather_than_at_a_later_sentence() -> None:
    text = "One two three. Four five six.\n\nSeven eight nine. Ten eleven twelve. Thirteen fourteen fifteen."
    assert [chunk.text for chunk in chunks_of(markdown(text), 10)] == [
        "One two three. Four five six.",
        "Seven eight nine. Ten eleven twelve.",
        "Thirteen fourteen fifteen.",
    ]


def test_a_chunk_ends_at_a_sentence_rather_than_at_a_later_line() -> None:
    text = "One two three four five.\nSix seven eight\nnine ten eleven twelve thirteen."
    assert chunks_of(markdown(text), 10)[0].text == "One two three four five."


def test_the_rows_of_a_table_stay_whole() -> None:
    rows = "\n".join(f"| Dr. Row {n}. Yes | value {n} |" for n in range(20))
    chunks = chunks_of(markdown(rows), 40)
    assert len(chunks) > 3
    assert all(line.startswith("| Dr.") and line.endswith(" |") for chunk in chunks for line in chunk.text.split("\n"))


def test_the_rest_of_a_section_up_to_the_maximum_is_not_cut_again() -> None:
    text = "word " * 23 + "end."
    assert len(chunks_of(markdown(text), 20, 25)) == 1
    assert len(chunks_of(markdown(text), 20, 24)) == 2


def test_a_rest_that_makes_two_chunks_leaves_no_scrap() -> None:
    text = "Two words. " * 12
    assert [len(words(chunk.text)) for chunk in chunks_of(markdown(text), 30, 32)] == [21, 15]


def test_a_sentence_longer_than_the_target_is_kept_whole_up_to_the_maximum() -> None:
    text = "Word " * 22 + "end. " + "Word " * 22 + "end."
    assert [len(words(chunk.text)) for chunk in chunks_of(markdown(text), 20, 30)] == [24, 24]


def test_a_chunk_stands_on_one_page_and_names_it() -> None:
    text = "First page text\n\nThird page text"
    document = ParsedDocument(text, "pdf", pages=(PageSpan(1, 0, 15), PageSpan(2, 15, 15), PageSpan(3, 17, len(text))))
    assert [(chunk.text, chunk.first_page) for chunk in chunks_of(document, 50)] == [("First page text", 1), ("Third page text", 3)]


def test_headings_that_start_at_the_same_place_are_all_above_what_follows() -> None:
    document = ParsedDocument("Text.", "pdf", headings=(Heading(0, 1, "A", ""), Heading(0, 2, "B", "")))
    assert chunks_of(document, 50)[0].headings == ("A", "B")


@pytest.mark.parametrize("line", ["word " * 200_000, "x" * 1_000_000, "." * 1_000_000, "a.b" * 333_333, "« » " * 250_000])
def test_a_megabyte_on_one_line_is_cut(line: str) -> None:
    document = ParsedDocument(line, "txt")
    chunks = chunks_of(document, 200, 250)
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(line.split())
    assert all(len(words(chunk.text)) <= 250 for chunk in chunks)


def test_a_run_that_is_one_token_is_cut_by_its_length() -> None:
    chunks = chunks_of(ParsedDocument("x" * 10_000, "txt"), 200, max_chars=1_000)
    assert [len(chunk.text) for chunk in chunks] == [1_000] * 10


def test_words_are_not_cut_where_blanks_allow() -> None:
    chunks = chunks_of(ParsedDocument("alpha beta gamma delta " * 100, "txt"), 10)
    assert {word for chunk in chunks for word in chunk.text.split()} == {"alpha", "beta", "gamma", "delta"}


@pytest.mark.parametrize(("target", "maximum", "chars"), [(0, 5, 10), (6, 5, 10), (1, 5, 0)])
def test_limits_that_contradict_each_other_are_refused(target: int, maximum: int, chars: int) -> None:
    with pytest.raises(ValueError, match="must"):
        ChunkLimits(target, maximum, chars)
