"""Builds the library's PDF and DOCX files from the Markdown under `sources/`.

Run `python samples/build.py` after editing a source and commit both. The output depends on nothing but the source and the
versions of reportlab and python-docx: dates come from the source, never from the clock.
"""

import argparse
import datetime as dt
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path

import docx
from docx.document import Document
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Pt, RGBColor
from docx.text.paragraph import Paragraph as DocxParagraph
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import cm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, ListFlowable, Paragraph, SimpleDocTemplate, Spacer, Table

HERE = Path(__file__).parent
SOURCES = HERE / "sources"
LIBRARY = HERE / "library"
FORMATS = {
    "employee-handbook": ".pdf",
    "travel-and-expense-policy": ".docx",
    "incident-report-2025-014": ".pdf",
    "reglement-interieur": ".pdf",
    "guide-teletravail": ".docx",
}

INK, ACCENT, RULE, SHADE = HexColor("#1f2933"), HexColor("#1d5c7a"), HexColor("#b8c4cc"), HexColor("#e8eff3")
PAGE_LABEL = {"en": "Page {page} of {total}", "fr": "Page {page} sur {total}"}
BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=10.5, leading=15, spaceAfter=7, textColor=INK)
ITEM = ParagraphStyle("item", BODY, spaceAfter=2)
CELL = ParagraphStyle("cell", BODY, fontSize=9, leading=12, spaceAfter=0)
PDF_STYLES = {
    "title": ParagraphStyle("title", BODY, fontName="Helvetica-Bold", fontSize=22, leading=27, spaceAfter=4, textColor=ACCENT),
    "subtitle": ParagraphStyle("subtitle", BODY, fontSize=9, spaceAfter=16),
    "h1": ParagraphStyle("h1", BODY, fontName="Helvetica-Bold", fontSize=14, leading=18, spaceBefore=14, textColor=ACCENT, keepWithNext=1),
    "h2": ParagraphStyle("h2", BODY, fontName="Helvetica-Bold", fontSize=11, leading=15, spaceBefore=8, keepWithNext=1),
}


@dataclass(frozen=True)
class Run:
    text: str
    bold: bool = False
    italic: bool = False


@dataclass(frozen=True)
class Source:
    title: str
    reference: str
    author: str
    date: dt.date
    language: str
    body: SyntaxTreeNode


def read_source(path: Path) -> Source:
    """Reads a Markdown file that opens with `key: value` lines between two `---` lines.

    Raises:
        ValueError: a key is missing, or a character is outside Windows-1252, the range of the PDF's built-in fonts.
    """
    text = path.read_text(encoding="utf-8")
    try:
        text.encode("cp1252")
    except UnicodeEncodeError as error:
        raise ValueError(f"{path.name}: {text[error.start]!r} has no glyph in Helvetica; write it otherwise") from error
    _, header, body = text.split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in header.strip().splitlines())
    missing = {"title", "reference", "author", "date", "language"} - fields.keys()
    if missing:
        raise ValueError(f"{path.name}: the header lacks {', '.join(sorted(missing))}")
    if fields["language"] == "fr":
        body = bind_french_punctuation(body)
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    return Source(
        title=fields["title"],
        reference=fields["reference"],
        author=fields["author"],
        date=dt.date.fromisoformat(fields["date"]),
        language=fields["language"],
        body=SyntaxTreeNode(tokens),
    )


def bind_french_punctuation(text: str) -> str:
    """Puts the no-break spaces of French typesetting before `: ; ? ! » % €`, after `«` and inside thousands."""
    text = re.sub(r"(?<=[^\s|-]) (?=[:;?!»%€])|(?<=«) ", "\u00a0", text)
    return re.sub(r"(?<=\d) (?=\d{3}\b)", "\u00a0", text)


def runs(node: SyntaxTreeNode, bold: bool = False, italic: bool = False) -> Iterator[Run]:
    """Yields the text below a block or inline node in order, with its emphasis."""
    if node.type == "text":
        yield Run(node.content, bold, italic)
    elif node.type == "softbreak":
        yield Run(" ", bold, italic)
    for child in node.children:
        yield from runs(child, bold or node.type == "strong", italic or node.type == "em")


def table_rows(node: SyntaxTreeNode) -> list[list[SyntaxTreeNode]]:
    return [row.children for part in node.children for row in part.children]


def markup(node: SyntaxTreeNode) -> str:
    """Renders a node's text in reportlab's paragraph markup."""
    parts = []
    for run in runs(node):
        text = escape(run.text, quote=False)
        text = f"<i>{text}</i>" if run.italic else text
        parts.append(f"<b>{text}</b>" if run.bold else text)
    return "".join(parts)


def pdf_table(node: SyntaxTreeNode, width: float) -> Table:
    rows = table_rows(node)
    longest = [max(len(markup(row[column])) for row in rows) for column in range(len(rows[0]))]
    shares = [min(max(length, 12), 60) for length in longest]
    cells = [[Paragraph(f"<b>{markup(cell)}</b>" if index == 0 else markup(cell), CELL) for cell in row] for index, row in enumerate(rows)]
    rules = [
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, RULE),
        ("BACKGROUND", (0, 0), (-1, 0), SHADE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    return Table(
        cells, [width * share / sum(shares) for share in shares], repeatRows=1, style=rules, hAlign="LEFT", spaceBefore=4, spaceAfter=10
    )


def pdf_flowables(source: Source, width: float) -> Iterator[Flowable]:
    yield Paragraph(escape(source.title), PDF_STYLES["title"])
    yield Paragraph(escape(f"{source.reference} · {source.author}"), PDF_STYLES["subtitle"])
    for node in source.body.children:
        if node.type == "heading":
            yield Paragraph(markup(node), PDF_STYLES[node.tag])
        elif node.type == "table":
            yield pdf_table(node, width)
        elif node.type in {"bullet_list", "ordered_list"}:
            items = [Paragraph(markup(item), ITEM) for item in node.children]
            yield ListFlowable(items, bulletType="bullet" if node.type == "bullet_list" else "1", leftIndent=16, bulletFontSize=9)
            yield Spacer(1, 4)
        else:
            yield Paragraph(markup(node), BODY)


def draw_frame(canvas: Canvas, template: SimpleDocTemplate, *, source: Source, total: int) -> None:
    """Draws the running head and the numbered foot of one page."""
    width, height = A4
    canvas.setFont("Helvetica", 8)
    canvas.setFillColor(INK)
    canvas.setStrokeColor(ACCENT)
    canvas.line(2.2 * cm, height - 1.7 * cm, width - 2.2 * cm, height - 1.7 * cm)
    canvas.drawString(2.2 * cm, height - 1.5 * cm, "Halden Instruments")
    canvas.drawRightString(width - 2.2 * cm, height - 1.5 * cm, source.title)
    canvas.drawString(2.2 * cm, 1.3 * cm, source.reference)
    canvas.drawRightString(width - 2.2 * cm, 1.3 * cm, PAGE_LABEL[source.language].format(page=template.page, total=total))


def typeset_pdf(source: Source, total: int) -> tuple[bytes, int]:
    """Returns the PDF with `total` printed in every foot, and the number of pages that it really has."""
    out = io.BytesIO()
    template = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=2.2 * cm - 6,  # the frame adds 6 points of its own on each side
        rightMargin=2.2 * cm - 6,
        topMargin=2.4 * cm,
        bottomMargin=2.2 * cm,
        title=source.title,
        author=source.author,
        subject=source.reference,
        lang=source.language,
        invariant=1,
    )
    frame = partial(draw_frame, source=source, total=total)
    template.build(list(pdf_flowables(source, template.width - 12)), onFirstPage=frame, onLaterPages=frame)
    return out.getvalue(), template.page


def build_pdf(source: Source) -> bytes:
    _, pages = typeset_pdf(source, 0)
    content, _ = typeset_pdf(source, pages)
    return content


def add_runs(paragraph: DocxParagraph, node: SyntaxTreeNode) -> None:
    for run in runs(node):
        added = paragraph.add_run(run.text)
        added.bold, added.italic = run.bold or None, run.italic or None


def add_docx_table(document: Document, node: SyntaxTreeNode) -> None:
    rows = table_rows(node)
    table = document.add_table(rows=len(rows), cols=len(rows[0]), style="Light Grid Accent 1")
    for index, row in enumerate(rows):
        for cell, content in zip(table.rows[index].cells, row, strict=True):
            add_runs(cell.paragraphs[0], content)
    document.add_paragraph()


def add_docx_block(document: Document, node: SyntaxTreeNode) -> None:
    if node.type == "heading":
        add_runs(document.add_heading(level=int(node.tag[1])), node)
    elif node.type == "table":
        add_docx_table(document, node)
    elif node.type in {"bullet_list", "ordered_list"}:
        for item in node.children:
            add_runs(document.add_paragraph(style="List Bullet" if node.type == "bullet_list" else "List Number"), item)
    else:
        add_runs(document.add_paragraph(), node)


def add_page_number(paragraph: DocxParagraph) -> None:
    """Adds Word's PAGE field, which the reader's program fills in."""
    field = OxmlElement("w:fldSimple")
    field.set(qn("w:instr"), "PAGE")
    paragraph.add_run("  ·  ")
    paragraph._p.append(field)  # noqa: SLF001 -- python-docx has no public way to add a field


def set_docx_look(document: Document, source: Source) -> None:
    for language in document.styles.element.iter(qn("w:lang")):
        language.set(qn("w:val"), {"en": "en-GB", "fr": "fr-FR"}[source.language])
    document.styles["Normal"].font.size = Pt(10.5)
    document.styles["Heading 1"].font.color.rgb = RGBColor(0x1D, 0x5C, 0x7A)
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.header.paragraphs[0].text = "Halden Instruments"
    section.footer.paragraphs[0].text = source.reference
    add_page_number(section.footer.paragraphs[0])


def build_docx(source: Source) -> bytes:
    document = docx.Document()
    set_docx_look(document, source)
    properties = document.core_properties
    properties.title, properties.author, properties.subject = source.title, source.author, source.reference
    properties.language, properties.last_modified_by, properties.comments = source.language, source.author, ""
    properties.created = properties.modified = dt.datetime.combine(source.date, dt.time(9), dt.UTC)
    document.add_heading(source.title, level=0)
    document.add_paragraph(f"{source.reference} · {source.author}", style="Subtitle")
    for node in source.body.children:
        add_docx_block(document, node)
    out = io.BytesIO()
    document.save(out)
    return with_fixed_times(out.getvalue(), source.date)


def with_fixed_times(archive: bytes, date: dt.date) -> bytes:
    """Rewrites a ZIP archive so that every member carries the same time stamp."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            member = zipfile.ZipInfo(name, (date.year, date.month, date.day, 9, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(member, old.read(name))
    return out.getvalue()


def build(name: str) -> bytes:
    """Builds one document of `FORMATS` and returns the content of its file."""
    source = read_source(SOURCES / f"{name}.md")
    return build_pdf(source) if FORMATS[name] == ".pdf" else build_docx(source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=LIBRARY, help="folder to write to (default: %(default)s)")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, suffix in FORMATS.items():
        target = out / f"{name}{suffix}"
        target.write_bytes(build(name))
        print(f"{target} ({target.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
