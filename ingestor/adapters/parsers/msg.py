"""Outlook messages: the subject as heading and title, the addresses and the date, then the text, or the HTML where there is no text.

Property numbers are those of Microsoft's [MS-OXPROPS]; how they are kept in a compound file is told by [MS-OXMSG].
"""

import struct
from datetime import UTC, datetime, timedelta

from olefile import OleFileIO

from ingestor.adapters.parsers.decoding import known_code_page
from ingestor.adapters.parsers.html_page import add_body
from ingestor.adapters.parsers.ole import compound_file
from ingestor.domain.document_builder import DocumentBuilder, one_line
from ingestor.domain.parsing import DocumentLimits, ParsedDocument, SourceFile

_SUBJECT, _SENDER_NAME, _SENDER_ADDRESS, _TO, _CC, _BODY, _HTML = 0x0037, 0x0C1A, 0x5D01, 0x0E04, 0x0E03, 0x1000, 0x1013
_SENDER_EXCHANGE_ADDRESS, _SUBMIT_TIME, _DELIVERY_TIME, _CODE_PAGE = 0x0C1F, 0x0039, 0x0E06, 0x3FDE
_UNICODE, _BYTE_STRING, _BINARY = 0x001F, 0x001E, 0x0102
_UTF_8, _LATIN_1 = 65001, 28591  # as Windows numbers code pages
_PROPERTIES = "__properties_version1.0"
_PROPERTIES_HEADER, _PROPERTY = 32, struct.Struct("<HHI8s")
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


def check(source: SourceFile, _: DocumentLimits) -> None:
    """Open the container and read its properties.

    Raises:
        DocumentRejected: ``CORRUPT_DOCUMENT``.
    """
    with compound_file(source.content) as file:
        _Message(file)


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the message; attachments are left out."""
    with compound_file(source.content) as file:
        message = _Message(file)
        builder = DocumentBuilder(limits)
        subject = message.text(_SUBJECT)
        builder.heading(subject, 1)
        date = message.time(_SUBMIT_TIME) or message.time(_DELIVERY_TIME)
        shown = {"From": message.sender(), "To": message.text(_TO), "Cc": message.text(_CC), "Date": date.isoformat(" ") if date else ""}
        builder.lines(f"{name}: {one_line(value)}" for name, value in shown.items() if value)
        if body := message.text(_BODY).strip():
            builder.paragraph(body)
        else:
            add_body(message.html(), builder)
        return builder.build("msg", title=subject, author=message.sender(), create_time=date)


class _Message:
    """Reads the properties of the message itself, not those of its recipients and attachments."""

    def __init__(self, file: "OleFileIO[str]") -> None:
        self._file = file
        self._fixed: dict[int, bytes] = {}
        content = file.openstream(_PROPERTIES).read()
        for start in range(_PROPERTIES_HEADER, len(content) - _PROPERTY.size + 1, _PROPERTY.size):
            type_, number, _, value = _PROPERTY.unpack_from(content, start)
            self._fixed[number << 16 | type_] = value

    def text(self, number: int) -> str:
        if (content := self._stream(number, _UNICODE)) is not None:
            return content.decode("utf-16-le", "replace")
        return (self._stream(number, _BYTE_STRING) or b"").decode(self._code_page(), "replace")

    def html(self) -> str:
        return (self._stream(_HTML, _BINARY) or b"").decode(self._code_page(), "replace") or self.text(_HTML)

    def time(self, number: int) -> datetime | None:
        """Return a time, which is kept as tenths of microseconds since 1601."""
        value = int.from_bytes(self._fixed.get(number << 16 | 0x0040, b""), "little")
        try:
            return _EPOCH + timedelta(microseconds=value // 10) if value else None
        except OverflowError:
            return None

    def sender(self) -> str:
        name, address = self.text(_SENDER_NAME), self.text(_SENDER_ADDRESS) or self.text(_SENDER_EXCHANGE_ADDRESS)
        return f"{name} <{address}>" if name and "@" in address and address != name else name or address

    def _stream(self, number: int, type_: int) -> bytes | None:
        name = f"__substg1.0_{number:04X}{type_:04X}"
        return bytes(self._file.openstream(name).read()) if self._file.exists(name) else None

    def _code_page(self) -> str:
        number = int.from_bytes(self._fixed.get(_CODE_PAGE << 16 | 0x0003, b"")[:4], "little")
        return {_UTF_8: "utf-8", _LATIN_1: "cp1252"}.get(number) or known_code_page(number)
