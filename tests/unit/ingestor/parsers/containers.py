"""Makes OpenDocument files, books, Outlook messages and pictures for the parser tests, by hand: no library that we use writes them."""

import io
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from PIL import Image, ImageDraw, ImageFont

from tests.unit.ingestor.parsers.files import zipped

ODF = "urn:oasis:names:tc:opendocument:xmlns"
NAMESPACES = " ".join(
    [
        *(f'xmlns:{name}="{ODF}:{name}:1.0"' for name in ("office", "text", "table", "presentation", "style", "meta")),
        f'xmlns:draw="{ODF}:drawing:1.0"',
        'xmlns:dc="http://purl.org/dc/elements/1.1/"',
    ]
)
KINDS = {"odt": "text", "ods": "spreadsheet", "odp": "presentation"}
_END, _FREE, _FAT, _SECTOR, _MINI_SECTOR, _MINI_CUTOFF = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 512, 64, 4096


def odf(type_: str, body: str, *, meta: str = "", styles: str = "", manifest: str = "") -> bytes:
    """Return an OpenDocument file with ``body`` inside of its ``office:text``, ``office:spreadsheet`` or ``office:presentation``."""
    kind = KINDS[type_]
    styles = f"<office:automatic-styles>{styles}</office:automatic-styles>"
    body = f"<office:body><office:{kind}>{body}</office:{kind}></office:body>"
    content = f"<office:document-content {NAMESPACES}>{styles}{body}</office:document-content>"
    parts = {
        "mimetype": f"application/vnd.oasis.opendocument.{kind}",
        "content.xml": content,
        "meta.xml": f"<office:document-meta {NAMESPACES}><office:meta>{meta}</office:meta></office:document-meta>",
        "META-INF/manifest.xml": f'<manifest:manifest xmlns:manifest="{ODF}:manifest:1.0">{manifest}</manifest:manifest>',
    }
    return zipped({name: part.encode() for name, part in parts.items()})


def odf_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table element."""
    cells = ("".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in row) for row in rows)
    return '<table:table table:name="Sheet">' + "".join(f"<table:table-row>{row}</table:table-row>" for row in cells) + "</table:table>"


def epub(
    chapters: Mapping[str, str], *, titles: Mapping[str, str] | None = None, metadata: str = "", parts: Mapping[str, bytes] | None = None
) -> bytes:
    """Return a book; ``chapters``: file name to XHTML body; ``titles``: file name to its entry in the table of contents."""
    items = "".join(f'<item id="c{n}" href="text/{name}" media-type="application/xhtml+xml"/>' for n, name in enumerate(chapters))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    points = "".join(
        f'<navPoint><navLabel><text>{title}</text></navLabel><content src="text/{name}#start"/></navPoint>'
        for name, title in (titles or {}).items()
    )
    files = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<metadata>{metadata}</metadata><manifest>{items}<item id="toc" href="toc.ncx" media-type="application/x-dtbncx+xml"/></manifest>'
        f"<spine>{spine}</spine></package>",
        "OEBPS/toc.ncx": '<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://www.daisy.org/z3986/2005/ncx-2005-1.dtd">'
        f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>{points}</navMap></ncx>',
        **{
            f"OEBPS/text/{name}": f'<!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{body}</body></html>'
            for name, body in chapters.items()
        },
    }
    return zipped({name: content.encode() for name, content in files.items()} | dict(parts or {}))


def msg(
    *, subject: str = "", sender: tuple[str, str] = ("", ""), to: str = "", body: str = "", html: bytes = b"", sent: datetime | None = None
) -> bytes:
    """Return an Outlook message."""
    texts = {0x0037: subject, 0x0C1A: sender[0], 0x5D01: sender[1], 0x0E04: to, 0x1000: body}
    streams = {f"__substg1.0_{number:04X}001F": text.encode("utf-16-le") for number, text in texts.items() if text}
    if html:
        streams["__substg1.0_10130102"] = html
    properties = struct.pack("<HHIII", 0x0003, 0x3FDE, 6, 65001, 0)
    if sent is not None:
        tenths = int((sent - datetime(1601, 1, 1, tzinfo=UTC)).total_seconds()) * 10_000_000
        properties += struct.pack("<HHIQ", 0x0040, 0x0039, 6, tenths)
    return compound_file(streams | {"__properties_version1.0": bytes(32) + properties})


def compound_file(streams: Mapping[str, bytes]) -> bytes:
    """Return a compound file (version 3) that holds ``streams`` in its root."""
    small = {name: content for name, content in streams.items() if len(content) < _MINI_CUTOFF}
    mini_stream, mini_fat, starts = bytearray(), list[int](), dict[str, int]()
    for name, content in small.items():
        starts[name] = _chain(mini_fat, _count(content, _MINI_SECTOR))
        mini_stream += content.ljust(_count(content, _MINI_SECTOR) * _MINI_SECTOR, b"\0")
    fat, sectors = list[int](), bytearray()

    def stored(content: bytes) -> int:
        sectors.extend(content.ljust(_count(content, _SECTOR) * _SECTOR, b"\0"))
        return _chain(fat, _count(content, _SECTOR))

    starts |= {name: stored(content) for name, content in streams.items() if name not in small}
    mini_start = stored(bytes(mini_stream))
    mini_fat_start = stored(struct.pack(f"<{len(mini_fat)}I", *mini_fat).ljust(_SECTOR, b"\xff"))
    directory = _entry("Root Entry", 5, mini_start, len(mini_stream), child=1)
    for number, (name, content) in enumerate(streams.items(), 1):
        directory += _entry(name, 2, starts[name], len(content), right=number + 1 if number < len(streams) else _FREE)
    directory_start = stored(directory)
    fat.append(_FAT)
    table = struct.pack(f"<{len(fat)}I", *fat)
    assert len(table) <= _SECTOR, "one sector of the table is enough for a test's file"
    header = struct.pack(
        "<8s16x5H6xIIIIIIIII", bytes.fromhex("d0cf11e0a1b11ae1"), 0x3E, 3, 0xFFFE, 9, 6, 0, 1, directory_start, 0, _MINI_CUTOFF,
        mini_fat_start, 1, _END, 0,
    )  # fmt: skip
    difat = struct.pack("<109I", len(sectors) // _SECTOR, *[_FREE] * 108)
    return header + difat + bytes(sectors) + table.ljust(_SECTOR, b"\xff")


def _entry(name: str, kind: int, start: int, size: int, *, child: int = _FREE, right: int = _FREE) -> bytes:
    encoded = name.encode("utf-16-le") + b"\0\0"
    return struct.pack("<64sHBBIII36xIQ", encoded, len(encoded), kind, 1, _FREE, right, child, start, size)


def _chain(table: list[int], count: int) -> int:
    start = len(table)
    table += [*range(start + 1, start + count), _END]
    return start


def _count(content: bytes, size: int) -> int:
    return max(1, -(-len(content) // size))


def picture(text: str, format_: str = "PNG", *, pages: int = 1, size: tuple[int, int] = (900, 200)) -> bytes:
    """Return a picture with ``text`` on it in large letters."""
    frames = []
    for _ in range(pages):
        frame = Image.new("RGB", size, "white")
        ImageDraw.Draw(frame).text((30, 30), text, fill="black", font=ImageFont.load_default(48))
        frames.append(frame)
    buffer = io.BytesIO()
    frames[0].save(buffer, format_, **({"save_all": True, "append_images": frames[1:]} if pages > 1 else {}))
    return buffer.getvalue()
