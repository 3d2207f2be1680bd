from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from ingestor.domain.parsing import DocumentRejected, RejectionReason
from tests.unit.ingestor.parsers.files import check, parse


def mail(text: str | None = None, html: str | None = None) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["Subject"] = "Opening hours – été"
    message["From"] = "Ann Example <ann@example.org>"
    message["To"] = "bob@example.org"
    message["Date"] = "Wed, 01 May 2024 12:00:00 +0000"
    if text is not None:
        message.set_content(text)
    if html is not None and text is not None:
        message.add_alternative(html, subtype="html")
    elif html is not None:
        message.set_content(html, subtype="html")
    return message


def test_a_mail_has_its_subject_as_heading_and_title_and_its_sender_as_author() -> None:
    document = parse("a.eml", mail("We open early.\n").as_bytes())
    assert document.text == (
        "# Opening hours – été\n\nFrom: Ann Example <ann@example.org>\nTo: bob@example.org\n"
        "Date: Wed, 01 May 2024 12:00:00 +0000\n\nWe open early."
    )
    assert (document.title, document.author) == ("Opening hours – été", "Ann Example <ann@example.org>")
    assert document.create_time == datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_the_text_part_is_preferred_to_the_html_part() -> None:
    text = parse("a.eml", mail("As text.", "<p>As HTML.</p>").as_bytes()).text
    assert "As text." in text
    assert "As HTML." not in text


def test_a_mail_of_html_alone_is_read_as_a_page() -> None:
    assert parse("a.eml", mail(html="<h2>Hours</h2><p>Early.</p>").as_bytes()).text.endswith("## Hours\n\nEarly.")


def test_attachments_are_left_out() -> None:
    message = mail("See the file.")
    message.add_attachment(b"secret,content", maintype="text", subtype="csv", filename="a.csv")
    assert "secret" not in parse("a.eml", message.as_bytes()).text


@pytest.mark.parametrize("charset", ["x-unknown", "iso-8859-1", "idna", "utf-8"])
def test_a_mail_in_an_odd_character_set_is_read_as_well_as_can_be(charset: str) -> None:
    head = f"From: a@example.org\r\nSubject: Odd\r\nContent-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    assert "déjà vu" in parse("a.eml", head.encode() + "déjà vu".encode("latin-1")).text


def test_headers_past_reading_do_not_cost_the_message() -> None:
    head = "From: =?x-unknown?b?////?= <\r\nDate: someday\r\nSubject: =?utf-8?q?=ff=fe?=\r\nTo: @@,,;;<>\r\n\r\nThe body."
    document = parse("a.eml", head)
    assert document.text.endswith("The body.")
    assert document.create_time is None


def test_a_mail_is_told_by_its_headers_without_a_name() -> None:
    assert check("message", mail("Hello.").as_bytes()) == "eml"
    assert check("message", "Subject: only one header of mail\n\nText.") == "txt"


def test_multiparts_nested_a_thousand_deep_are_refused() -> None:
    parts = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(1_000))
    with pytest.raises(DocumentRejected, match="nested too deeply") as rejection:
        parse("a.eml", f"From: a@example.org\r\nSubject: Deep\r\n{parts}\r\nText.")
    assert rejection.value.reason is RejectionReason.DOCUMENT_TOO_LARGE
