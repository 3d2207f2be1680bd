from datetime import UTC, datetime

import pytest

from ingestor.domain.parsing import DocumentRejected, RejectionReason
from tests.unit.ingestor.parsers.containers import compound_file, epub, msg
from tests.unit.ingestor.parsers.files import check, parse

LOCK = b'<encryption xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptionMethod Algorithm="%s"/></encryption>'


def test_the_chapters_of_a_book_stand_in_reading_order_under_their_headings() -> None:
    book = epub(
        {"one.xhtml": "<p>The crane was repaired.</p>", "two.xhtml": '<h1 id="prices">Prices</h1><p>Hook <a id="x"/>12.<br/>Rope 7.</p>'},
        titles={"one.xhtml": "Cranes", "two.xhtml": "Not needed"},
        metadata="<dc:title>Harbour</dc:title><dc:creator>Ann</dc:creator><dc:date>2020-01-02</dc:date>",
    )
    document = parse("a.epub", book)
    assert document.text == "# Cranes\n\nThe crane was repaired.\n\n# Prices\n\nHook 12.\nRope 7."
    assert [(heading.text, heading.anchor) for heading in document.headings] == [("Cranes", ""), ("Prices", "prices")]
    assert (document.title, document.author, document.create_time) == ("Harbour", "Ann", datetime(2020, 1, 2, tzinfo=UTC))


def test_a_book_under_lock_is_refused_and_one_with_obfuscated_fonts_is_not() -> None:
    def book(algorithm: bytes) -> bytes:
        return epub({"a.xhtml": "<p>Text.</p>"}, parts={"META-INF/encryption.xml": LOCK % algorithm})

    with pytest.raises(DocumentRejected, match="locked") as rejection:
        parse("a.epub", book(b"http://www.w3.org/2001/04/xmlenc#aes256-cbc"))
    assert rejection.value.reason is RejectionReason.ENCRYPTED_DOCUMENT
    assert parse("a.epub", book(b"http://www.idpf.org/2008/embedding")).text == "Text."


def test_entities_in_a_chapter_do_not_multiply() -> None:
    declared = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    chapter = f"<!DOCTYPE html [{declared}]><html><body><p>&l9; end</p></body></html>".encode()
    text = parse("a.epub", epub({"a.xhtml": ""}, parts={"OEBPS/text/a.xhtml": chapter})).text
    assert "end" in text
    assert len(text) < 2_000


def test_a_message_has_its_subject_as_heading_and_its_sender_as_author() -> None:
    sent = datetime(2024, 5, 1, 12, tzinfo=UTC)
    long_body = "We open early – été. " * 300
    document = parse("a.msg", msg(subject="Opening hours", sender=("Ann", "ann@example.org"), to="Bob", body=long_body, sent=sent))
    assert document.text == (
        "# Opening hours\n\nFrom: Ann <ann@example.org>\nTo: Bob\nDate: 2024-05-01 12:00:00+00:00\n\n" + long_body.strip()
    )
    assert (document.title, document.author, document.create_time) == ("Opening hours", "Ann <ann@example.org>", sent)


def test_a_message_without_plain_text_is_read_from_its_html() -> None:
    document = parse("a.msg", msg(subject="Hours", html="<p>Nous ouvrons tôt.</p><script>x</script>".encode()))
    assert document.text == "# Hours\n\nNous ouvrons tôt."


@pytest.mark.parametrize("content", [msg(subject="x", body="y " * 3_000)[:2_000], compound_file({"__properties_version1.0": b""})[:600]])
def test_a_message_cut_short_is_corrupt_at_the_check(content: bytes) -> None:
    with pytest.raises(DocumentRejected) as rejection:
        check("a.msg", content)
    assert rejection.value.reason is RejectionReason.CORRUPT_DOCUMENT
