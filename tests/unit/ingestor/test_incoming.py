"""How documents on their way in stand to what the library has."""

from __future__ import annotations

import pytest

from ingestor.domain.incoming import DocumentHeader as Header
from ingestor.domain.incoming import Incoming, Known, Novelty, TextEntry, from_entry, from_url, novelty
from ingestor.domain.tasks import Stage
from shared.errors import AppError


def incoming(sha256: str) -> Incoming:
    return Incoming(identity="i", external_id="", name="n", uri="", metadata=None, content_sha256=sha256)


@pytest.mark.parametrize(
    ("known", "sha256", "expected"),
    [
        (Known("", "", None), "a", Novelty.NEW),
        (Known("a", "a", None), "a", Novelty.UNCHANGED),
        (Known("a", "a", None), "b", Novelty.NEW),
        (Known("a", "", "job"), "a", Novelty.IN_WORK),
        (Known("b", "a", "job"), "b", Novelty.IN_WORK),
        (Known("b", "a", "job"), "a", Novelty.UNCHANGED),
        (Known("b", "a", None), "b", Novelty.NEW),
        (Known("a", "a", None), "", Novelty.NEW),
    ],
    ids=[
        "first", "same", "other", "still in work", "newer still in work", "back to the visible one", "failed before", "not fetched yet",
    ],
)  # fmt: skip
def test_only_what_the_library_does_not_have_is_new(known: Known, sha256: str, expected: Novelty) -> None:
    assert novelty(known, incoming(sha256)) is expected


def test_a_text_with_another_title_is_other_content() -> None:
    texts = [from_entry(TextEntry("a", name, text, None), 1) for name, text in (("t", "x"), ("u", "x"), ("t", "y"))]
    assert len({one.content_sha256 for one in texts}) == 3


def header(**fields: str) -> Header:
    values = {"collection": "c", "external_id": "", "name": "", "declared_media_type": "", "url": "", "uri": ""} | fields
    return Header(**values, metadata=None)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/docs/a%20b.pdf?x=1#y", "a b.pdf"),
        ("https://example.org/docs/", "example.org"),
        ("http://example.org", "example.org"),
    ],
)
def test_a_document_from_an_address_is_named_after_its_last_part(url: str, name: str) -> None:
    one = from_url(header(url=url))
    assert (one.name, one.uri, one.source_url, one.first_stage) == (name, url, url, Stage.FETCH)


@pytest.mark.parametrize("url", ["example.org", "file:///etc/passwd", "http://", "http://[::1", "javascript:alert(1)", "//example.org/a"])
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(AppError) as raised:
        from_url(header(url=url))
    assert raised.value.reason == "URL_INVALID"
