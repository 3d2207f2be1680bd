"""Compound files, in which Outlook and the Office of before 2007 keep their documents."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from olefile import OleFileIO

from ingestor.domain.parsing import DocumentRejected, RejectionReason

MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
# The stream that only a file of the type has.
_STREAMS = {
    "EncryptedPackage": "encrypted",
    "__properties_version1.0": "msg",
    "WordDocument": "doc",
    "Workbook": "xls",
    "Book": "xls",
    "PowerPoint Document": "ppt",
    "VisioDocument": "vsd",
    "Quill": "pub",
}


@contextmanager
def compound_file(content: bytes) -> Iterator["OleFileIO[str]"]:
    """Open a compound file.

    Raises:
        DocumentRejected: ``CORRUPT_DOCUMENT``, for whatever olefile raises while the file is open.
    """
    try:
        with OleFileIO(io.BytesIO(content)) as file:
            yield file
    except (DocumentRejected, MemoryError):
        raise
    except Exception as error:
        message = "The file's container is damaged or cut short. Open it in the program that made it and save it again."
        raise DocumentRejected(RejectionReason.CORRUPT_DOCUMENT, message) from error


def ole_type(content: bytes) -> str | None:
    """Return the type that the file's streams tell; None where they are of none that is known.

    Raises:
        DocumentRejected: ``CORRUPT_DOCUMENT`` or ``ENCRYPTED_DOCUMENT``.
    """
    with compound_file(content) as file:
        names = {path[0].lower() for path in file.listdir(streams=True, storages=True)}
    type_ = next((type_ for stream, type_ in _STREAMS.items() if stream.lower() in names), None)
    if type_ == "encrypted":
        raise DocumentRejected(RejectionReason.ENCRYPTED_DOCUMENT, "The Office file is encrypted. Remove its password and send it again.")
    return type_
