"""Archives of documents: one becomes a document for each of its files."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NoReturn

from ingestor.adapters.parsers.archive import BROKEN
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, RejectionReason, SourceFile

# What programs leave in archives beside what people put there.
_LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")


def parse(_source: SourceFile, _limits: DocumentLimits) -> NoReturn:
    """Refuse an archive that was not taken apart when it came in: one inside of another."""
    message = "The file is an archive inside of another. Unpack it, or send it by itself."
    raise DocumentRejected(RejectionReason.UNSUPPORTED_TYPE, message)


def members(archive: SourceFile) -> Iterator[SourceFile]:
    """Yield the files of an archive that ``check`` has let pass, one at a time; the folders become part of their names.

    Raises:
        DocumentRejected: ``CORRUPT_DOCUMENT`` for a damaged one, ``EMPTY_FILE`` for an archive without files.
    """
    empty = True
    with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
        for part in opened.infolist():
            path = PurePosixPath(part.filename.replace("\\", "/"))
            if part.is_dir() or any(name in _LITTER for name in path.parts):
                continue
            empty = False
            try:
                yield SourceFile(str(path), opened.read(part))
            except BROKEN as error:
                message = f"The archive's file {str(path)[:200]!r} is damaged. Make the archive anew."
                raise DocumentRejected(RejectionReason.CORRUPT_DOCUMENT, message) from error
    if empty:
        raise DocumentRejected(RejectionReason.EMPTY_FILE, "The archive holds no files. Send one with documents.")
