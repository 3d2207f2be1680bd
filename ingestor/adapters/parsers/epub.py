"""EPUB books: the chapters in reading order, each under a heading; title, author, language and date from the package."""

import io
import posixpath
import re
import zipfile
from datetime import datetime
from urllib.parse import unquote

from lxml import etree  # type: ignore[import-untyped]
from selectolax.lexbor import LexborHTMLParser

from ingestor.adapters.parsers.html_page import add_body
from ingestor.adapters.parsers.xml_parts import local_name, parse_xml
from ingestor.domain.document_builder import DocumentBuilder, one_line
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, ParsedDocument, RejectionReason, SourceFile

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_CHAPTER_TYPES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
# Fonts may be obfuscated in a book that is not protected otherwise.
_FONT_OBFUSCATION = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
# XML may close an element in its own tag; HTML reads on for its end.
_SELF_CLOSED = re.compile(r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)([A-Za-z][\w:-]*)\b([^<>]*)/>")
_HTML_HEADING = re.compile(r"<h[1-6][\s>]", re.IGNORECASE)


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the chapters that the book's spine names.

    Raises:
        DocumentRejected: among others ``ENCRYPTED_DOCUMENT`` for a book under a publisher's lock.
    """
    with zipfile.ZipFile(io.BytesIO(source.content)) as archive:
        _refuse_encryption(archive)
        book = _Book(archive)
        builder = DocumentBuilder(limits)
        for path in book.chapters():
            html = _SELF_CLOSED.sub(r"<\1\2></\1>", book.read(path).decode("utf-8", "replace"))
            if not _HTML_HEADING.search(html):
                builder.heading(book.titles.get(path, ""), 1)
            add_body(html, builder)
    return builder.build(
        "epub",
        title=book.said("title"),
        author=book.said("creator"),
        language=book.said("language"),
        create_time=_time(book.said("date")),
    )


def _refuse_encryption(archive: zipfile.ZipFile) -> None:
    if _ENCRYPTION not in archive.namelist():
        return
    methods = {element.get("Algorithm") for element in parse_xml(archive.read(_ENCRYPTION)).iter("{*}EncryptionMethod")}
    if not methods.issubset(_FONT_OBFUSCATION):
        message = "The book is locked by its publisher. Send a copy without the lock."
        raise DocumentRejected(RejectionReason.ENCRYPTED_DOCUMENT, message)


class _Book:
    """The package document of a book and what it leads to. ``titles``: path of a chapter to its title in the table of contents."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = frozenset(archive.namelist())
        root = parse_xml(archive.read(_CONTAINER)).find(".//{*}rootfile")
        self._package_path = unquote(root.get("full-path"))
        self._package = parse_xml(archive.read(self._package_path))
        self._items = {item.get("id"): item for item in self._package.iterfind("{*}manifest/{*}item")}
        self.titles = self._titles()

    def read(self, path: str) -> bytes:
        return self._archive.read(path)

    def chapters(self) -> list[str]:
        """Return the paths of the chapters in reading order, each once; what the book lacks is left out."""
        paths = []
        for reference in self._package.iterfind("{*}spine/{*}itemref"):
            item = self._items.get(reference.get("idref"))
            if item is not None and item.get("media-type") in _CHAPTER_TYPES:
                paths.append(self._path(item.get("href"), self._package_path))
        return [path for path in dict.fromkeys(paths) if path in self._names]

    def said(self, name: str) -> str:
        """Return the first value of a Dublin Core element; empty where there is none."""
        return self._package.findtext(f"{{*}}metadata/{{http://purl.org/dc/elements/1.1/}}{name}", "") or ""

    def _path(self, reference: str | None, base: str) -> str:
        path = unquote((reference or "").partition("#")[0])
        return posixpath.normpath(posixpath.join(posixpath.dirname(base), path))

    def _titles(self) -> dict[str, str]:
        titles: dict[str, str] = {}
        for item in self._items.values():
            path = self._path(item.get("href"), self._package_path)
            if path not in self._names:
                continue
            if item.get("media-type") == "application/x-dtbncx+xml":
                entries = _ncx_entries(parse_xml(self.read(path)))
            elif "nav" in (item.get("properties") or "").split():
                entries = _nav_entries(self.read(path).decode("utf-8", "replace"))
            else:
                continue
            for reference, title in entries:
                titles.setdefault(self._path(reference, path), title)
        return titles


def _ncx_entries(ncx: etree._Element) -> list[tuple[str, str]]:
    points = [element for element in ncx.iter() if local_name(element) == "navPoint"]
    return [
        (content.get("src") or "", one_line(point.findtext("{*}navLabel/{*}text", "") or ""))
        for point in points
        if (content := point.find("{*}content")) is not None
    ]


def _nav_entries(html: str) -> list[tuple[str, str]]:
    links = LexborHTMLParser(_SELF_CLOSED.sub(r"<\1\2></\1>", html)).css("nav a[href]")
    return [(link.attributes.get("href") or "", one_line(link.text())) for link in links]


def _time(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value.strip()) if value else None
    except ValueError:
        return None
