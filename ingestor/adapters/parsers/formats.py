"""From a file to its document: sniffs the type, then hands over to that type's module, which is imported when first needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from types import ModuleType

from ingestor.adapters.parsers import libreoffice
from ingestor.adapters.parsers.language import detect_language
from ingestor.adapters.parsers.ocr import RecognitionNeeded
from ingestor.adapters.parsers.sniffing import sniff
from ingestor.domain.parsing import TYPE_NAMES, DocumentLimits, DocumentRejected, ParsedDocument, RejectionReason, SourceFile

_MODULES = {
    "pdf": "pdf",
    "docx": "docx",
    "pptx": "pptx",
    "xlsx": "xlsx",
    "odt": "odf",
    "ods": "odf",
    "odp": "odf",
    "rtf": "rtf",
    "epub": "epub",
    "html": "html_page",
    "md": "markdown",
    "txt": "text",
    "csv": "csv_table",
    "eml": "eml",
    "msg": "msg",
    "json": "json_values",
    "png": "image",
    "jpeg": "image",
    "tiff": "image",
    "webp": "image",
    "zip": "zip_archive",
}


# Of the other types, telling the type has opened the container or decoded the text already.
_CHECKED = ("pdf", "html", "csv", "json", "msg", "png", "jpeg", "tiff", "webp")


class ConversionNeeded(Exception):  # noqa: N818 - says nothing bad of the file
    """The file has no parser; :func:`convert` makes one of it that has."""

    def __init__(self, type_: str) -> None:
        super().__init__(type_)
        self.type = type_


def check(source: SourceFile, limits: DocumentLimits) -> str:
    """Return the file's type after opening its container.

    Raises:
        DocumentRejected: see :meth:`ingestor.domain.parsing.Parser.check`.
    """
    type_ = sniff(source, limits)
    if type_ in libreoffice.TARGETS:
        libreoffice.require()
    if type_ in _CHECKED:
        with _failures_explained(type_):
            _module(type_).check(source, limits)
    return type_


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the file's document, its language detected.

    Raises:
        DocumentRejected: see :meth:`ingestor.domain.parsing.Parser.parse`.
        ConversionNeeded: see there.
        RecognitionNeeded: :func:`recognise` reads the file.
    """
    type_ = sniff(source, limits)
    if type_ in libreoffice.TARGETS:
        raise ConversionNeeded(type_)
    with _failures_explained(type_):
        return _with_language(_module(type_).parse(source, limits))


def recognise(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the document of a file for which :func:`parse` needed recognition. Blocking: seconds for each picture.

    Raises:
        DocumentRejected: see :meth:`ingestor.domain.parsing.Parser.parse`.
    """
    type_ = sniff(source, limits)
    with _failures_explained(type_):
        return _with_language(_module(type_).recognise(source, limits))


def convert(source: SourceFile, limits: DocumentLimits) -> SourceFile:
    """Return the file in a format that has a parser.

    Raises:
        DocumentRejected: it cannot be converted here, or not at all.
    """
    return libreoffice.converted(source, sniff(source, limits))


@contextmanager
def _failures_explained(type_: str) -> Iterator[None]:
    """Turn whatever a library raises on a file that it cannot read into a rejection; what it raises is not documented anywhere."""
    try:
        yield
    except (DocumentRejected, RecognitionNeeded, MemoryError):
        raise
    except RecursionError as error:
        message = f"The {TYPE_NAMES[type_]} file is nested too deeply. Flatten it, or save it anew from the program that made it."
        raise DocumentRejected(RejectionReason.DOCUMENT_TOO_LARGE, message) from error
    except Exception as error:
        message = f"The file cannot be read as {TYPE_NAMES[type_]}. Open it in the program that made it and save it again."
        raise DocumentRejected(RejectionReason.CORRUPT_DOCUMENT, message) from error


def _with_language(document: ParsedDocument) -> ParsedDocument:
    return replace(document, language=detect_language(document.text) or document.language)


def _module(type_: str) -> ModuleType:
    return import_module(f"ingestor.adapters.parsers.{_MODULES[type_]}")
