"""Files that are small to send and ruinous to read. Each is made by hand when a test wants it."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

from ingestor.domain.parsing import MEBIBYTE, RejectionReason
from tests.unit.ingestor.parsers.containers import epub, odf
from tests.unit.ingestor.parsers.files import docx, pdf_bomb, with_part, xlsx, zipped

GIBIBYTE = 1024 * MEBIBYTE
_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))
_ENTITIES = f"<!DOCTYPE a [{_LAUGHS}]><a>&l9;</a>".encode()


def pdf_of_pages(count: int, *, points: int = 612) -> bytes:
    """Return a PDF that names one empty page of ``points`` by ``points`` so many times."""
    kids = b"3 0 R " * count
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (count, kids),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] >>" % (points, points),
    ]
    file, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return bytes(file) + b"xref\n0 4\n0000000000 65535 f \n%strailer << /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (table, len(file))


def png_of(width: int, height: int) -> bytes:
    """Return a PNG file that announces so many pixels and holds none of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1_000))) + chunk(b"IEND", b"")


def zip_of_zeros(size: int, name: str = "zeros.txt") -> bytes:
    """Return an archive of one file of ``size`` zeros, a thousandth of that in length."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive, archive.open(name, "w") as part:
        for _ in range(size // MEBIBYTE):
            part.write(bytes(MEBIBYTE))
    return buffer.getvalue()


def nested_zips(depth: int) -> bytes:
    content = b"text"
    for level in range(depth):
        content = zipped({f"level-{level}-{copy}.zip": content for copy in range(4)})
    return content


def xlsx_of_columns(count: int) -> bytes:
    """Return a workbook whose one row has so many cells."""
    row = "".join(f"<c><v>{cell * 7_919 % 1_000_003}</v></c>" for cell in range(count))
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    sheet = f'<worksheet xmlns="{namespace}"><sheetData><row>{row}</row></sheetData></worksheet>'
    return with_part(xlsx({"Sheet": [["Text"]]}), "xl/worksheets/sheet1.xml", sheet.encode())


def _repeated_cells() -> bytes:
    cell = '<table:table-cell table:number-columns-repeated="2000"><text:p>x</text:p></table:table-cell>'
    return odf("ods", f'<table:table><table:table-row table:number-rows-repeated="999999">{cell}</table:table-row></table:table>')


DOCX = docx(lambda document: document.add_paragraph("Text."))
BOMBS: dict[str, tuple[str, Callable[[], bytes], frozenset[RejectionReason]]] = {
    what: (name, content, frozenset(map(RejectionReason, reasons.split())))
    for what, (name, content, reasons) in {
        "a page that draws 20 million letters": ("a.pdf", lambda: pdf_bomb(20_000_000), "PARSER_OUT_OF_MEMORY PARSER_TIMEOUT"),
        "a page of 14,400 points": ("a.pdf", lambda: pdf_of_pages(1, points=14_400), "NO_TEXT"),
        "300,000 empty pages": ("a.pdf", lambda: pdf_of_pages(300_000), "DOCUMENT_TOO_LARGE"),
        "a megabyte that unpacks to a gigabyte": ("a.zip", lambda: zip_of_zeros(GIBIBYTE), "ARCHIVE_TOO_LARGE"),
        "the same as a part of a Word file": ("a.docx", lambda: with_part(DOCX, "word/x.bin", bytes(300 * MEBIBYTE)), "ARCHIVE_TOO_LARGE"),
        "archives in archives": ("a.zip", lambda: nested_zips(6), "UNSUPPORTED_TYPE"),
        "an archive that leads out of its folder": ("a.zip", lambda: zipped({"../../etc/passwd": b"x"}), "CORRUPT_DOCUMENT"),
        "entities in a Word file": ("a.docx", lambda: with_part(DOCX, "word/document.xml", _ENTITIES), "CORRUPT_DOCUMENT"),
        "entities in an OpenDocument file": ("a.odt", lambda: with_part(odf("odt", ""), "content.xml", _ENTITIES), "CORRUPT_DOCUMENT"),
        "entities in a book": ("a.epub", lambda: with_part(epub({}), "OEBPS/book.opf", _ENTITIES), "CORRUPT_DOCUMENT NO_TEXT"),
        "a million columns of CSV": ("a.csv", lambda: b"a," * 1_000_000, "DOCUMENT_TOO_LARGE"),
        "a million columns in a workbook": ("a.xlsx", lambda: xlsx_of_columns(1_000_000), "DOCUMENT_TOO_LARGE PARSER_TIMEOUT"),
        "two billion cells in an OpenDocument sheet": ("a.ods", _repeated_cells, "DOCUMENT_TOO_LARGE"),
        "a picture of 50,000 x 50,000": ("a.png", lambda: png_of(50_000, 50_000), "DOCUMENT_TOO_LARGE"),
        "ninety megabytes on one line": ("a.txt", lambda: b"x" * (90 * MEBIBYTE), "DOCUMENT_TOO_LARGE"),
        "ninety megabytes of elements without end": ("a.html", lambda: b"<div>" * (18 * MEBIBYTE), "PARSER_TIMEOUT PARSER_OUT_OF_MEMORY"),
        "a million groups of Rich Text": ("a.rtf", lambda: rb"{\rtf1" + b"{" * 1_000_000, "DOCUMENT_TOO_LARGE"),
        "arrays of JSON without end": ("a.json", lambda: b"[" * 10_000_000, "DOCUMENT_TOO_LARGE CORRUPT_DOCUMENT"),
    }.items()
}
"""What it is → its name, its bytes, and the reasons that it may be rejected for."""
