"""What the pool and its child processes say to each other: frames of a JSON header and a body of bytes, over pipes.

No pickle: a child reads hostile files with native code, and what it sends back must not be able to run anything.
"""

import json
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, BinaryIO, Self

from ingestor.domain.parsing import DocumentLimits, Heading, PageSpan, ParsedDocument, RejectionReason, SourceFile

LENGTHS = struct.Struct(">IQ")
"""Length of the header, then of the body, in front of every frame."""

MAX_HEADER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """One file to look at, or texts :func:`bundled` as one; ``cpu_seconds``: processor time after which the kernel ends the child."""

    source: SourceFile
    limits: DocumentLimits
    cpu_seconds: int

    def frame(self) -> tuple[bytes, bytes]:
        header = {
            "name": self.source.name,
            "declared_media_type": self.source.declared_media_type,
            "limits": asdict(self.limits),
            "cpu_seconds": self.cpu_seconds,
        }
        return _prefixed(header, self.source.content), self.source.content

    @classmethod
    def from_frame(cls, header: bytes, body: bytes) -> Self:
        fields = json.loads(header)
        source = SourceFile(fields["name"], body, fields["declared_media_type"])
        return cls(source, DocumentLimits(**fields["limits"]), fields["cpu_seconds"])


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a request: one of the first six is set; none in the greeting of a child that is ready.

    Attributes:
        type: of a file that was checked, or that has to be converted before it can be parsed.
        needs: the operation, ``convert`` or ``recognise``, without which the file cannot be parsed.
        converted: the file that a conversion made.
        languages: of bundled texts, in their order; empty where unsure.
        rejection: reason and message.
        cause: the exception behind a rejection and where it was raised, for the log; holds nothing of the file.
        peak_bytes: the most memory that the child has held so far.
    """

    type: str | None = None
    needs: str | None = None
    document: ParsedDocument | None = None
    converted: SourceFile | None = None
    languages: tuple[str, ...] | None = None
    rejection: tuple[RejectionReason, str] | None = None
    cause: str | None = None
    peak_bytes: int = 0

    def frame(self) -> tuple[bytes, bytes]:
        header = {name: getattr(self, name) for name in ("type", "needs", "rejection", "cause", "peak_bytes")}
        if self.converted is not None:
            body = self.converted.content
            return _prefixed(header | {"converted": self.converted.name}, body), body
        if self.languages is not None:
            return _prefixed(header | {"languages": self.languages}, b""), b""
        if self.document is None:
            return _prefixed(header, b""), b""
        body = self.document.text.encode()
        return _prefixed(header | {"document": _fields(self.document)}, body), body

    @classmethod
    def from_frame(cls, header: bytes, body: bytes) -> Self:
        """Raises ``ValueError``, ``KeyError`` or ``TypeError`` on what no honest child sends."""
        fields = json.loads(header)
        rejection = fields["rejection"]
        document, converted, languages = fields.get("document"), fields.get("converted"), fields.get("languages")
        return cls(
            type=fields["type"],
            needs=fields["needs"],
            converted=SourceFile(str(converted), body) if converted is not None else None,
            languages=tuple(map(str, languages)) if languages is not None else None,
            document=_document(document, body.decode()) if document is not None else None,
            rejection=(RejectionReason(rejection[0]), str(rejection[1])) if rejection is not None else None,
            cause=fields["cause"],
            peak_bytes=int(fields["peak_bytes"]),
        )


def bundled(texts: Iterable[str]) -> SourceFile:
    """Return many texts as one file, so that they cost one request."""
    return SourceFile("texts.json", json.dumps(list(texts)).encode())


def unbundled(source: SourceFile) -> list[str]:
    """Return the texts of which :func:`bundled` made ``source``."""
    texts: list[str] = json.loads(source.content)
    return texts


def read_frame(stream: BinaryIO) -> tuple[bytes, bytes] | None:
    """Block until a whole frame is there; None where the stream ends."""
    prefix = stream.read(LENGTHS.size)
    if len(prefix) < LENGTHS.size:
        return None
    header_length, body_length = LENGTHS.unpack(prefix)
    header, body = stream.read(header_length), stream.read(body_length)
    return (header, body) if len(header) == header_length and len(body) == body_length else None


def _prefixed(header: dict[str, Any], body: bytes) -> bytes:
    encoded = json.dumps(header).encode()
    return LENGTHS.pack(len(encoded), len(body)) + encoded


def _fields(document: ParsedDocument) -> dict[str, Any]:
    return {
        "type": document.type,
        "title": document.title,
        "author": document.author,
        "language": document.language,
        "create_time": document.create_time.isoformat() if document.create_time else None,
        "update_time": document.update_time.isoformat() if document.update_time else None,
        "pages": [(page.number, page.start, page.end) for page in document.pages],
        "headings": [(heading.start, heading.level, heading.text, heading.anchor) for heading in document.headings],
    }


def _document(fields: dict[str, Any], text: str) -> ParsedDocument:
    create_time, update_time = fields["create_time"], fields["update_time"]
    return ParsedDocument(
        text=text,
        type=fields["type"],
        title=fields["title"],
        author=fields["author"],
        language=fields["language"],
        create_time=datetime.fromisoformat(create_time) if create_time else None,
        update_time=datetime.fromisoformat(update_time) if update_time else None,
        pages=tuple(PageSpan(*page) for page in fields["pages"]),
        headings=tuple(Heading(*heading) for heading in fields["headings"]),
    )
