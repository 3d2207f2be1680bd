"""Where a passage leads."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ingestor.domain.passages import Passage


def passage(uri: str, *, kind: str = "html", page: int = 0, anchor: str = "") -> Passage:
    return Passage(
        passage_id="p",
        document_id="d",
        collection_id="c",
        collection_name="library",
        document_name="name",
        external_id="",
        ordinal=0,
        text="text",
        page=page,
        start=0,
        end=4,
        headings=(),
        anchor=anchor,
        document_uri=uri,
        metadata={},
        document_type=kind,
        document_update_time=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("one", "uri"),
    [
        (passage("https://x.org/a.pdf", kind="pdf", page=3), "https://x.org/a.pdf#page=3"),
        (passage("https://x.org/a", anchor="costs"), "https://x.org/a#costs"),
        (passage("https://x.org/a.pptx", kind="pptx", page=3), "https://x.org/a.pptx"),
        (passage("https://x.org/a#part", anchor="costs"), "https://x.org/a#part"),
        (passage("", kind="pdf", page=3), ""),
    ],
    ids=["a page", "a section", "a format without such links", "a link that has its own", "nowhere"],
)
def test_the_link_of_a_passage_opens_it_where_the_format_allows(one: Passage, uri: str) -> None:
    assert one.uri == uri
