"""Pages of a PDF that are pictures of text: drawn by pypdfium2, read by tesseract."""

import math

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_raw

from ingestor.adapters.parsers.ocr import recognised
from ingestor.domain.parsing import DocumentLimits

# What tesseract is made for; less loses small print.
_DPI = 300
_POINTS_PER_INCH = 72


def has_picture(page: pdfium.PdfPage) -> bool:
    """Return whether anything is drawn on a page; one without text on which something is may be a scan."""
    return bool(pdfium_raw.FPDFPage_CountObjects(page) > 0)


def recognised_page(page: pdfium.PdfPage, limits: DocumentLimits) -> str:
    """Return the text on the picture of a page. Blocking: seconds.

    Raises:
        DocumentRejected: as for :func:`ingestor.adapters.parsers.ocr.recognised`.
        pypdfium2.PdfiumError: the page cannot be drawn.
    """
    inches = page.get_width() * page.get_height() / _POINTS_PER_INCH**2
    dpi = max(1, min(_DPI, math.isqrt(int(limits.max_page_pixels / max(inches, 1)))))
    bitmap = page.render(scale=dpi / _POINTS_PER_INCH, grayscale=True)
    try:
        picture = _as_pgm(bitmap)
    finally:
        bitmap.close()
    return recognised(picture, limits, dpi=dpi)


def _as_pgm(bitmap: pdfium.PdfBitmap) -> bytes:
    """Return a bitmap of one byte a pixel as a portable graymap, which costs nothing to pack."""
    pixels = memoryview(bitmap.buffer).cast("B")
    rows = (pixels[start : start + bitmap.width] for start in range(0, bitmap.stride * bitmap.height, bitmap.stride))
    return b"P5\n%d %d\n255\n" % (bitmap.width, bitmap.height) + b"".join(rows)
