"""Looks at a zip container before any library unpacks it."""

import io
import struct
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import NoReturn
from xml.parsers import expat

from ingestor.domain.parsing import MEBIBYTE, DocumentLimits, DocumentRejected, RejectionReason

_ENCRYPTED_FLAG = 0x1
_SAFE_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Older programs declared its document type; it is read with entities left alone.
_ODF_MANIFEST = "META-INF/manifest.xml"
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError)
"""What ``zipfile`` raises on a damaged container."""


def check_archive(content: bytes, limits: DocumentLimits) -> None:
    """Refuse zip bombs, unsafe part names and encrypted parts.

    Sizes are taken from the central directory, which is enough: ``zipfile`` never unpacks more of a part than is declared there.
    Archives inside the archive are not opened by any parser and count as bytes.

    Raises:
        DocumentRejected: with ``ARCHIVE_TOO_LARGE``, ``ENCRYPTED_DOCUMENT`` or ``CORRUPT_DOCUMENT``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            _check_sizes(parts, len(content), limits)
            for part in parts:
                _check_part(part)
    except BROKEN as error:
        raise corrupt("its zip container is damaged or cut short") from error


def refuse_entities(content: bytes) -> None:
    """Refuse XML that declares entities, in the parts of an Office file.

    Raises:
        DocumentRejected: ``CORRUPT_DOCUMENT``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for part in archive.infolist():
                if part.filename.endswith((".xml", ".rels")) and part.filename != _ODF_MANIFEST:
                    _refuse_document_type(archive, part)
    except BROKEN as error:
        raise corrupt("its zip container is damaged or cut short") from error


def corrupt(why: str) -> DocumentRejected:
    """Return the rejection of a container that is damaged."""
    return DocumentRejected(
        RejectionReason.CORRUPT_DOCUMENT, f"The file cannot be read: {why}. Open it in the program that made it and save it again."
    )


def _check_sizes(parts: list[zipfile.ZipInfo], packed: int, limits: DocumentLimits) -> None:
    if len(parts) > limits.max_archive_entries:
        raise _too_large(f"{len(parts):,} parts, more than {limits.max_archive_entries:,}")
    unpacked = sum(part.file_size for part in parts)
    if unpacked > limits.max_archive_bytes:
        raise _too_large(f"{unpacked:,} bytes once unpacked, more than {limits.max_archive_bytes:,}")
    if unpacked > max(MEBIBYTE, packed * limits.max_archive_ratio):
        raise _too_large(f"more than {limits.max_archive_ratio} times its size once unpacked")


def _check_part(part: zipfile.ZipInfo) -> None:
    if part.flag_bits & _ENCRYPTED_FLAG:
        raise DocumentRejected(
            RejectionReason.ENCRYPTED_DOCUMENT, "Parts of the file are encrypted. Remove the password and send it again."
        )
    path = PurePosixPath(part.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in part.filename:
        raise corrupt("it names a part outside of itself")
    if part.compress_type not in _SAFE_METHODS:
        raise corrupt("it is packed in a way that nothing here unpacks")


class _RootReachedError(Exception):
    pass


def _refuse_document_type(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    """Read a part up to its root element: no Office file has a document type, and only there can entities be declared."""

    def stop(*_: object) -> NoReturn:
        raise _RootReachedError

    def refuse(*_: object) -> NoReturn:
        raise corrupt("its XML declares a document type or entities, which Office files never do")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = stop
    try:
        with archive.open(part) as stream:
            parser.ParseFile(stream)
    except _RootReachedError:
        return
    except expat.ExpatError as error:
        raise corrupt("one of its parts is not XML") from error


def _too_large(what: str) -> DocumentRejected:
    return DocumentRejected(
        RejectionReason.ARCHIVE_TOO_LARGE,
        f"The file holds {what}. If it is genuine, split it or save it without its embedded files.",
    )
