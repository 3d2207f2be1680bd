"""Pictures of text: scans and photographs, read by tesseract where it is installed; one page for each picture in the file."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from PIL import Image, ImageOps, ImageSequence

from ingestor.adapters.parsers.ocr import RecognitionNeeded, available, missing, recognised
from ingestor.domain.document_builder import DocumentBuilder, too_large
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, ParsedDocument, RejectionReason, SourceFile

FORMATS = {"PNG": "png", "JPEG": "jpeg", "TIFF": "tiff", "WEBP": "webp"}
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError)
# Bounded here, in pixels, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None


def check(source: SourceFile, limits: DocumentLimits) -> None:
    """Read the size.

    Raises:
        DocumentRejected: ``DOCUMENT_TOO_LARGE`` or ``CORRUPT_DOCUMENT``.
    """
    with _opened(source.content, limits):
        pass


def parse(_source: SourceFile, _limits: DocumentLimits) -> NoReturn:
    """Leave the pictures to :func:`recognise`.

    Raises:
        RecognitionNeeded: always, where tesseract is installed.
        DocumentRejected: ``NO_TEXT`` where it is not.
    """
    if available():
        raise RecognitionNeeded
    raise missing("The file is a picture")


def recognise(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the text on the pictures. Blocking: seconds for each.

    Raises:
        DocumentRejected: as for :func:`check`, or ``NO_TEXT`` where tesseract is missing or finds none.
    """
    with _opened(source.content, limits) as image:
        type_ = FORMATS[str(image.format)]
        builder = DocumentBuilder(limits)
        for frame in ImageSequence.Iterator(image):
            _check_pixels(frame, limits)
            builder.start_page()
            builder.paragraph(recognised(_as_png(frame), limits))
    if builder.is_empty:
        raise DocumentRejected(RejectionReason.NO_TEXT, "No text was recognised on the picture (tesseract). Send a sharper one.")
    return builder.build(type_)


@contextmanager
def _opened(content: bytes, limits: DocumentLimits) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content), formats=list(FORMATS)) as image:
            _check_pixels(image, limits)
            yield image
    except _DAMAGED as error:
        message = "The picture is damaged or cut short. Open it in the program that made it and save it again."
        raise DocumentRejected(RejectionReason.CORRUPT_DOCUMENT, message) from error


def _check_pixels(image: Image.Image, limits: DocumentLimits) -> None:
    if image.width * image.height > limits.max_image_pixels:
        raise too_large(f"a picture of {image.width:,} x {image.height:,} pixels, more than {limits.max_image_pixels:,}")


def _as_png(image: Image.Image) -> bytes:
    """Return the picture upright, in shades of grey on white."""
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright.convert("RGBA"))
    buffer = io.BytesIO()
    upright.convert("L").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
