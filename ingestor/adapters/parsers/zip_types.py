"""Tells what a zip container is: an Office file, an OpenDocument file, a book, or an archive."""

import io
import zipfile

from ingestor.adapters.parsers.archive import BROKEN, check_archive, corrupt, refuse_entities
from ingestor.domain.parsing import DocumentLimits

MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
# The content type of an Office file's main part names the type; templates and files with macros have others.
_MAIN_PARTS = {
    b"wordprocessingml.document.main+xml": "docx",
    b"presentationml.presentation.main+xml": "pptx",
    b"spreadsheetml.sheet.main+xml": "xlsx",
}
_CONTENT_TYPES_PART, _MEDIA_TYPE_PART = "[Content_Types].xml", "mimetype"
_MAX_CONTENT_TYPES_BYTES, _MAX_MEDIA_TYPE_BYTES = 4 << 20, 200
# What such files say of themselves in a part of their own.
_MEDIA_TYPES = {
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/epub+zip": "epub",
}


def zip_type(content: bytes, limits: DocumentLimits) -> str | None:
    """Return the type of a zip container that may be opened: ``zip`` for an archive of files, None for a document of another kind.

    Raises:
        DocumentRejected: ``ARCHIVE_TOO_LARGE``, ``ENCRYPTED_DOCUMENT`` or ``CORRUPT_DOCUMENT``.
    """
    check_archive(content, limits)
    content_types = _part(content, _CONTENT_TYPES_PART, _MAX_CONTENT_TYPES_BYTES)
    media_type = media_type_of(content)
    type_ = _office_type(content_types) if content_types else _MEDIA_TYPES.get(media_type)
    if type_ is not None and type_ != "epub":  # whose chapters are HTML and have document types
        refuse_entities(content)
    return type_ if content_types or media_type else "zip"


def media_type_of(content: bytes) -> str:
    """Return what an OpenDocument file or a book says that it is; empty where it says nothing."""
    return _part(content, _MEDIA_TYPE_PART, _MAX_MEDIA_TYPE_BYTES).strip().decode("ascii", "replace")


def _office_type(content_types: bytes) -> str | None:
    return next((type_ for main_part, type_ in _MAIN_PARTS.items() if main_part in content_types), None)


def _part(content: bytes, name: str, max_bytes: int) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if name not in archive.namelist() or archive.getinfo(name).is_dir():
            return b""
        if archive.getinfo(name).file_size > max_bytes:
            raise corrupt(f"its part {name} is too long")
        try:
            return archive.read(name)
        except BROKEN as error:
            raise corrupt(f"its part {name} is damaged") from error
