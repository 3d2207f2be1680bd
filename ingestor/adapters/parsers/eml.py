"""E-mail: the subject as heading and title, the addresses and the date, then the text part, or the HTML part where there is no other."""

from contextlib import suppress
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime

from ingestor.adapters.parsers.decoding import charset_of
from ingestor.adapters.parsers.html_page import add_body
from ingestor.domain.document_builder import DocumentBuilder
from ingestor.domain.parsing import DocumentLimits, ParsedDocument, SourceFile

_SHOWN_HEADERS = ("From", "To", "Cc", "Date")


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the message; attachments are left out."""
    message = message_from_bytes(source.content, policy=default)
    builder = DocumentBuilder(limits)
    subject = _header(message, "Subject")
    builder.heading(subject, 1)
    builder.lines(f"{name}: {value}" for name in _SHOWN_HEADERS if (value := _header(message, name)))
    body = message.get_body(preferencelist=("plain", "html"))
    if isinstance(body, EmailMessage):
        text = _content(body)
        if body.get_content_subtype() == "html":
            add_body(text, builder)
        else:
            builder.paragraph(text)
    return builder.build(
        "eml",
        title=subject,
        author=_header(message, "From"),
        language=_header(message, "Content-Language"),
        create_time=_date(_header(message, "Date")),
    )


def _header(message: EmailMessage, name: str) -> str:
    """Return a header's text; empty where it is missing or past reading, for the message is worth having without it."""
    try:
        return str(message.get(name, ""))
    except (ValueError, LookupError, AttributeError, TypeError):
        return ""


def _content(body: EmailMessage) -> str:
    """Return the text of a part; bytes that fit neither UTF-8 nor the character set that it declares are replaced."""
    payload = body.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    with suppress(UnicodeDecodeError):
        return content.decode("utf-8")
    declared = charset_of(f"charset={body.get_content_charset('')}")
    return content.decode(declared if declared not in (None, "utf-8") else "cp1252", "replace")


def _date(value: str) -> datetime | None:
    try:
        return parsedate_to_datetime(value) if value else None
    except (ValueError, TypeError):
        return None
