"""Word documents, with python-docx: headings by outline level, lists, tables as Markdown; tracked insertions count, deletions don't.

python-docx opens the package; the text is read from its XML, for its own paragraphs leave out content controls and tracked insertions.
"""

import io
from collections.abc import Iterator

from docx import Document
from docx.document import Document as WordDocument
from docx.oxml.ns import qn
from lxml import etree  # type: ignore[import-untyped]

from ingestor.domain.document_builder import DocumentBuilder
from ingestor.domain.parsing import DocumentLimits, ParsedDocument, SourceFile

_PARAGRAPH, _TABLE, _ROW, _CELL = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_CONTENT_CONTROL, _CONTROL_CONTENT = qn("w:sdt"), qn("w:sdtContent")
_RUN, _TEXT, _TAB, _HYPHEN = qn("w:r"), qn("w:t"), qn("w:tab"), qn("w:noBreakHyphen")
_BREAKS = (qn("w:br"), qn("w:cr"))
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_VALUE = qn("w:val")
_BODY_LEVEL = 9  # "w:outlineLvl" counts from 0; 9 is body text
_TITLE_STYLES = ("title", "titre")
_MAX_COLUMN_SPAN = 100


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the body's text; headers, footers, footnotes and comments are left out."""
    document = Document(io.BytesIO(source.content))
    builder = DocumentBuilder(limits)
    _Body(document, builder).add(document.element.body)
    properties = document.core_properties
    return builder.build(
        "docx",
        title=properties.title,
        author=properties.author,
        language=properties.language,
        create_time=properties.created,
        update_time=properties.modified,
    )


class _Body:
    def __init__(self, document: WordDocument, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._styles = {style.get(qn("w:styleId")): style for style in document.styles.element.iterfind(qn("w:style"))}
        self._style_levels: dict[str | None, int | None] = {}
        self._style_lists: dict[str | None, bool] = {}
        self._title_seen = False

    def add(self, container: etree._Element) -> None:
        """Add the blocks of the body or of a content control in it."""
        for element in container:
            if element.tag == _PARAGRAPH:
                self._add_paragraph(element)
            elif element.tag == _TABLE:
                self._builder.table(_rows(element))
            elif element.tag == _CONTENT_CONTROL:
                for content in element.iterchildren(_CONTROL_CONTENT):
                    self.add(content)

    def _add_paragraph(self, paragraph: etree._Element) -> None:
        text = _text(paragraph)
        if not text.strip():
            return
        properties = paragraph.find(qn("w:pPr"))
        style = _attribute(properties, "w:pStyle")
        level = self._level(properties, style)
        if level is not None:
            # The document's own title stands above its headings.
            self._title_seen = self._title_seen or level == 0
            self._builder.heading(text, level + self._title_seen)
            return
        numbering = properties.find(qn("w:numPr")) if properties is not None else None
        if numbering is not None or self._is_list(style):
            depth = _attribute(numbering, "w:ilvl") or "0"
            self._builder.item(text, min(int(depth), 8) if depth.isdigit() else 0)
        else:
            self._builder.paragraph(text)

    def _level(self, properties: etree._Element | None, style: str | None) -> int | None:
        """Return a heading's level from 1, 0 for the document's title, None for other paragraphs."""
        own = _outline_level(properties)
        if own is not None:
            return own
        if style not in self._style_levels:
            self._style_levels[style] = self._level_of_style(style)
        return self._style_levels[style]

    def _level_of_style(self, style: str | None) -> int | None:
        for element in self._ancestry(style):
            if (_attribute(element, "w:name") or "").lower() in _TITLE_STYLES:
                return 0
            level = _outline_level(element.find(qn("w:pPr")))
            if level is not None:
                return level
        return None

    def _is_list(self, style: str | None) -> bool:
        if style not in self._style_lists:
            self._style_lists[style] = any(element.find(f"{qn('w:pPr')}/{qn('w:numPr')}") is not None for element in self._ancestry(style))
        return self._style_lists[style]

    def _ancestry(self, style: str | None) -> Iterator[etree._Element]:
        """Yield a style and those it is based on; a file may make them go in circles."""
        seen: set[str] = set()
        while style is not None and style in self._styles and style not in seen:
            seen.add(style)
            yield self._styles[style]
            style = _attribute(self._styles[style], "w:basedOn")


def _outline_level(properties: etree._Element | None) -> int | None:
    value = _attribute(properties, "w:outlineLvl")
    return int(value) + 1 if value is not None and value.isdigit() and int(value) < _BODY_LEVEL else None


def _attribute(element: etree._Element | None, child: str) -> str | None:
    found = element.find(qn(child)) if element is not None else None
    return found.get(_VALUE) if found is not None else None


def _text(paragraph: etree._Element) -> str:
    """Return a paragraph's text, that of text boxes in it included; ``w:delText`` of tracked deletions is another element."""
    parts: list[str] = []
    doubled = next(paragraph.iter(_FALLBACK), None) is not None
    for element in paragraph.iter(_TEXT, _TAB, _HYPHEN, *_BREAKS):
        if element.getparent().tag != _RUN or (doubled and next(element.iterancestors(_FALLBACK), None) is not None):
            continue  # a tab stop among the properties, or a drawing's copy for older programs
        if element.tag == _TEXT:
            parts.append(element.text or "")
        elif element.tag == _TAB:
            parts.append("\t")
        else:
            parts.append("-" if element.tag == _HYPHEN else "\n")
    return "".join(parts)


def _rows(table: etree._Element) -> Iterator[list[str]]:
    for row in table.iterchildren(_ROW):
        cells: list[str] = []
        for cell in row.iter(_CELL):
            if next(cell.iterancestors(_ROW)) is row:  # and not of a table inside
                cells.append(" ".join(filter(None, map(_text, cell.iter(_PARAGRAPH)))))
                span = _attribute(cell.find(qn("w:tcPr")), "w:gridSpan") or "1"
                cells.extend([""] * (min(int(span), _MAX_COLUMN_SPAN) - 1 if span.isdigit() else 0))
        yield cells
