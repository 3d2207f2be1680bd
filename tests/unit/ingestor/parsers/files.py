"""Makes the files that the parser tests read: real ones, by the libraries that people's programs use, and hostile ones by hand."""

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Protocol

from docx import Document
from docx.document import Document as WordDocument
from openpyxl import Workbook
from pptx import Presentation
from pptx.util import Inches
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from ingestor.adapters.parsers import formats
from ingestor.domain.parsing import DocumentLimits, ParsedDocument, SourceFile

LIMITS = DocumentLimits()
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"


class Saveable(Protocol):
    def save(self, file: IO[bytes], /) -> None: ...


def parse(name: str, content: bytes | str, *, media_type: str | None = None, limits: DocumentLimits = LIMITS) -> ParsedDocument:
    return formats.parse(source(name, content, media_type), limits)


def check(name: str, content: bytes | str, *, media_type: str | None = None, limits: DocumentLimits = LIMITS) -> str:
    return formats.check(source(name, content, media_type), limits)


def source(name: str, content: bytes | str, media_type: str | None = None) -> SourceFile:
    return SourceFile(name, content.encode() if isinstance(content, str) else content, media_type)


def pdf(
    pages: Sequence[Sequence[str] | bytes],
    *,
    outline: Mapping[int, Sequence[tuple[str, int]]] | None = None,
    title: str = "",
    author: str = "",
    password: str | None = None,
    size: tuple[float, float] = A4,
) -> bytes:
    """Return a PDF with the given lines, or nothing but the given picture, on each page.

    ``outline``: page index to bookmarks and their levels from 0; ``size``: of a page, in points.
    """
    buffer = io.BytesIO()
    encryption = StandardEncryption(password, canPrint=0) if password is not None else None
    canvas = Canvas(buffer, size, encrypt=encryption)
    canvas.setTitle(title)
    canvas.setAuthor(author)
    for index, lines in enumerate(pages):
        if isinstance(lines, bytes):
            canvas.drawImage(ImageReader(io.BytesIO(lines)), 0, 0, *size)
        else:
            for number, line in enumerate(lines):
                canvas.drawString(72, 750 - 14 * number, line)
        for name, level in (outline or {}).get(index, ()):
            key = f"{index}-{name}"
            canvas.bookmarkPage(key)
            canvas.addOutlineEntry(name, key, level)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def pdf_of_one_stream(stream: bytes) -> bytes:
    """Return a PDF whose only page has ``stream``, already deflated, as its content."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    file, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(file)
    return bytes(file) + b"xref\n0 6\n0000000000 65535 f \n" + table + end


def pdf_bomb(letters: int) -> bytes:
    """Return a small PDF that draws one letter so many times over: each takes PDFium half a kilobyte of memory."""
    packer = zlib.compressobj(9)
    piece = b"(A)Tj " * 10_000
    stream = packer.compress(b"BT /F1 12 Tf ")
    for _ in range(letters // 10_000):
        stream += packer.compress(piece)
    return pdf_of_one_stream(stream + packer.compress(b"ET") + packer.flush())


def docx(write: Callable[[WordDocument], object]) -> bytes:
    """Return a Word file with what ``write`` puts into it."""
    document = Document()
    write(document)
    return saved(document)


def pptx(slides: Sequence[tuple[str, Sequence[str], str]]) -> bytes:
    """Return a presentation; each slide has a title, bullets, and notes."""
    presentation = Presentation()
    for title, bullets, notes in slides:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        if slide.shapes.title is not None:
            slide.shapes.title.text = title
        frame = slide.placeholders[1].text_frame
        frame.text = "\n".join(bullets)
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    return saved(presentation)


def pptx_with_table(rows: Sequence[Sequence[str]]) -> bytes:
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    table = slide.shapes.add_table(len(rows), len(rows[0]), Inches(1), Inches(1), Inches(5), Inches(2)).table
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            table.cell(row, column).text = cell
    return saved(presentation)


def xlsx(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    workbook = Workbook()
    workbook.remove(workbook.worksheets[0])
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    return saved(workbook)


def saved(file: Saveable) -> bytes:
    buffer = io.BytesIO()
    file.save(buffer)
    return buffer.getvalue()


def zipped(parts: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_part(file: bytes, name: str, content: bytes) -> bytes:
    """Return an Office file with one part replaced or added."""
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    return zipped(parts | {name: content})
