"""OpenDocument texts, spreadsheets and presentations: headings by outline level, lists, tables as Markdown; one page for each slide."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain

from lxml import etree  # type: ignore[import-untyped]

from ingestor.adapters.parsers.xml_parts import parse_xml
from ingestor.domain.document_builder import DocumentBuilder, one_line, too_large
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, ParsedDocument, RejectionReason, SourceFile

_NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    **{
        prefix: f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"
        for prefix, name in {
            "draw": "drawing", "manifest": "manifest", "meta": "meta", "office": "office", "presentation": "presentation",
            "style": "style", "table": "table", "text": "text",
        }.items()
    },
}  # fmt: skip
_MAX_LIST_DEPTH = 8


def _name(name: str) -> str:
    prefix, local = name.split(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"


_TYPES = {_name("office:text"): "odt", _name("office:spreadsheet"): "ods", _name("office:presentation"): "odp"}
_HEADING, _PARAGRAPH, _LIST, _TABLE, _SLIDE = map(_name, ("text:h", "text:p", "text:list", "table:table", "draw:page"))
_ROW, _CELL, _COVERED_CELL = map(_name, ("table:table-row", "table:table-cell", "table:covered-table-cell"))
_ROW_GROUPS = frozenset(map(_name, ("table:table-header-rows", "table:table-rows", "table:table-row-group")))
_NOTES = _name("presentation:notes")
# What is no part of the running text: deletions that are tracked, comments, footnotes, forms, and what only describes.
_LEFT_OUT = frozenset(
    map(_name, ("text:tracked-changes", "office:annotation", "text:note", "office:forms", "text:sequence-decls", "presentation:notes"))
)
_BLANKS = {_name("text:s"): " ", _name("text:tab"): "\t", _name("text:line-break"): "\n"}
_TITLE_STYLES = ("Title", "Titre")


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the body's text; headers, footers, footnotes and comments are left out.

    Raises:
        DocumentRejected: among others ``ENCRYPTED_DOCUMENT``.
    """
    with zipfile.ZipFile(io.BytesIO(source.content)) as archive:
        parts = {name: parse_xml(archive.read(name)) for name in _readable(archive, ("content.xml", "meta.xml", "META-INF/manifest.xml"))}
    _refuse_encryption(parts.get("META-INF/manifest.xml"))
    content = parts["content.xml"]
    body = next(element for element in content.iterfind("office:body/*", _NAMESPACES) if element.tag in _TYPES)
    builder = DocumentBuilder(limits)
    _Body(content, builder, limits, is_spreadsheet=_TYPES[body.tag] == "ods").add(body)
    return _described(builder, _TYPES[body.tag], parts.get("meta.xml"))


def _readable(archive: zipfile.ZipFile, names: Iterable[str]) -> list[str]:
    present = set(archive.namelist())
    return [name for name in names if name in present]


def _refuse_encryption(manifest: etree._Element | None) -> None:
    if manifest is not None and manifest.find(".//manifest:encryption-data", _NAMESPACES) is not None:
        message = "The OpenDocument file is protected by a password. Save it without one and send it again."
        raise DocumentRejected(RejectionReason.ENCRYPTED_DOCUMENT, message)


def _described(builder: DocumentBuilder, type_: str, meta: etree._Element | None) -> ParsedDocument:
    def said(name: str) -> str:
        return (meta.findtext(f".//{name}", "", _NAMESPACES) or "") if meta is not None else ""

    return builder.build(
        type_,
        title=said("dc:title"),
        author=said("meta:initial-creator") or said("dc:creator"),
        language=said("dc:language"),
        create_time=_time(said("meta:creation-date")),
        update_time=_time(said("dc:date")),
    )


def _time(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if value else None
    except ValueError:
        return None


class _Body:
    def __init__(self, content: etree._Element, builder: DocumentBuilder, limits: DocumentLimits, *, is_spreadsheet: bool) -> None:
        self._builder = builder
        self._limits = limits
        self._is_spreadsheet = is_spreadsheet
        self._parents = {
            style.get(_name("style:name")): style.get(_name("style:parent-style-name")) for style in content.iter(_name("style:style"))
        }
        self._slides = 0
        self._title_seen = False

    def add(self, container: Iterable[etree._Element]) -> None:
        """Add the blocks of the body, a section, a text box or a group."""
        for element in container:
            if element.tag == _HEADING:
                self._builder.heading(_text(element), _number(element, "text:outline-level") + self._title_seen)
            elif element.tag == _PARAGRAPH:
                self._add_paragraph(element)
            elif element.tag == _LIST:
                self._add_list(element, 0)
            elif element.tag == _TABLE:
                self._add_table(element)
            elif element.tag == _SLIDE:
                self._add_slide(element)
            elif element.tag not in _LEFT_OUT:
                self.add(element)

    def _add_paragraph(self, paragraph: etree._Element) -> None:
        style = paragraph.get(_name("text:style-name"))
        if style in _TITLE_STYLES or self._parents.get(style) in _TITLE_STYLES:
            self._title_seen = True
            self._builder.heading(_text(paragraph), 1)
        else:
            self._builder.paragraph(_text(paragraph))

    def _add_list(self, list_: etree._Element, depth: int) -> None:
        for item in list_:
            for element in item:
                if element.tag == _LIST:
                    self._add_list(element, min(depth + 1, _MAX_LIST_DEPTH))
                elif element.tag == _HEADING:
                    self.add([element])
                elif element.tag not in _LEFT_OUT:
                    self._builder.item(_text(element), depth)

    def _add_table(self, table: etree._Element) -> None:
        rows = self._rows(table)
        if (first := next(rows, None)) is None:
            return
        if self._is_spreadsheet:
            self._builder.heading(table.get(_name("table:name")) or "", 1)
        self._builder.table(chain([first], rows))

    def _rows(self, table: etree._Element) -> Iterator[list[str]]:
        """Yield the rows with content, as often as they are repeated and as wide as the first of them at least."""
        count = width = 0
        for row in _row_elements(table):
            cells = self._cells(row)
            if not cells:
                continue
            width = width or len(cells)
            for _ in range(_number(row, "table:number-rows-repeated")):
                count += 1
                if count > self._limits.max_table_rows:
                    raise too_large(f"a table of more than {self._limits.max_table_rows:,} rows")
                yield cells + [""] * (width - len(cells))

    def _cells(self, row: etree._Element) -> list[str]:
        """Return the cells up to the last with content, repeated ones as often as they are."""
        cells: list[str] = []
        gap = 0
        for cell in row.iterchildren(_CELL, _COVERED_CELL):
            repeated = _number(cell, "table:number-columns-repeated")
            text = one_line(" ".join(map(_text, cell.iter(_PARAGRAPH, _HEADING))))
            if not text:
                gap += repeated
                continue
            if len(cells) + gap + repeated > self._limits.max_table_columns:
                raise too_large(f"a row of {len(cells) + gap + repeated:,} columns, more than {self._limits.max_table_columns:,}")
            cells += [""] * gap + [text] * repeated
            gap = 0
        return cells

    def _add_slide(self, slide: etree._Element) -> None:
        self._slides += 1
        self._builder.start_page()
        shapes = [shape for shape in slide if shape.tag != _NOTES]
        titles = [shape for shape in shapes if shape.get(_name("presentation:class")) == "title"]
        notes = slide.iterfind("presentation:notes/*[@presentation:class='notes']", _NAMESPACES)
        notes_text = " ".join(_text(paragraph) for frame in notes for paragraph in frame.iter(_PARAGRAPH)).strip()
        heading = one_line(" ".join(_text(paragraph) for title in titles for paragraph in title.iter(_PARAGRAPH)))
        if heading or notes_text or any(_text(paragraph).strip() for shape in shapes for paragraph in shape.iter(_PARAGRAPH)):
            self._builder.heading(heading or f"Slide {self._slides}", 1)
        self.add([shape for shape in shapes if shape not in titles])
        self._builder.paragraph(f"Notes: {notes_text}" if notes_text else "")


def _row_elements(table: etree._Element) -> Iterator[etree._Element]:
    for element in table:
        if element.tag == _ROW:
            yield element
        elif element.tag in _ROW_GROUPS:
            yield from _row_elements(element)


def _number(element: etree._Element, name: str) -> int:
    value = element.get(_name(name)) or "1"
    return max(1, int(value[:9])) if value.isascii() and value.isdigit() else 1


def _text(element: etree._Element) -> str:
    """Return the text of a paragraph, that of text boxes in it included; a run of spaces is written as one."""
    parts = [element.text or ""]
    for child in element:
        if child.tag in _BLANKS:
            parts.append(_BLANKS[child.tag])
        elif child.tag not in _LEFT_OUT and isinstance(child.tag, str):
            parts.append(_text(child))
        parts.append(child.tail or "")
    return "".join(parts)
