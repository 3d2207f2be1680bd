from datetime import UTC, datetime

import pytest

from tests.unit.ingestor.parsers.files import parse

TEXT = """---
title: "The handbook"
author: Ann Example
date: 2024-05-01
---

# Opening *hours*

Early.

## Opening hours

```
# no heading
```

Winter & summer
---------------

Cold.

## See [prices](prices.md) {#own-anchor} ##

- item
---
#hashtag
"""


def test_markdown_is_kept_as_written_without_its_front_matter() -> None:
    document = parse("a.md", TEXT)
    assert document.text == TEXT.split("---\n\n", 1)[1].strip("\n")
    assert (document.title, document.author, document.create_time) == ("The handbook", "Ann Example", datetime(2024, 5, 1, tzinfo=UTC))


def test_headings_outside_of_code_have_the_anchors_that_github_gives_them() -> None:
    document = parse("a.md", TEXT)
    assert [(heading.text, heading.level, heading.anchor) for heading in document.headings] == [
        ("Opening hours", 1, "opening-hours"),
        ("Opening hours", 2, "opening-hours-1"),
        ("Winter & summer", 2, "winter--summer"),
        ("See prices", 2, "own-anchor"),
    ]
    assert [document.text[heading.start :].split("\n")[0] for heading in document.headings] == [
        "# Opening *hours*",
        "## Opening hours",
        "Winter & summer",
        "## See [prices](prices.md) {#own-anchor} ##",
    ]


def test_the_first_heading_of_the_first_level_is_the_title_where_nothing_else_is() -> None:
    assert parse("a.md", "## Part\n\n# Whole\n\n# Other").title == "Whole"


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_other_line_ends_leave_the_offsets_right(line_end: str) -> None:
    document = parse("a.md", f"One{line_end}{line_end}# Two{line_end}three")
    assert document.text == "One\n\n# Two\nthree"
    assert document.headings[0].start == document.text.index("#")


HUGE_LINES = {
    "words": "# " + "a " * 200_000,
    "blanks": "# " + " " * 500_000 + "x",
    "hashes": "#" * 500_000,
    "ticks": "`" * 500_000,
    "items": "- " * 200_000,
    "brackets": "[" * 500_000,
}


@pytest.mark.parametrize("line", HUGE_LINES.values(), ids=HUGE_LINES)
def test_a_huge_line_of_markup_is_read_in_linear_time(line: str) -> None:
    assert parse("a.md", line + "\n\nText.").text.endswith("Text.")
