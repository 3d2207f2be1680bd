"""Archives of documents: one becomes a document for each of its files, all of them in one job."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

from ingestor.domain.documents import MAX_NAME_CHARS
from ingestor.domain.incoming import MAX_EXTERNAL_ID_CHARS, DocumentHeader, Incoming, from_file
from ingestor.domain.parsing import DocumentRejected, Parser, SourceFile
from shared.errors import invalid_argument

ARCHIVE_TYPE = "zip"


async def unpacked(parser: Parser, archive: SourceFile, header: DocumentHeader) -> AsyncIterator[tuple[Incoming, bytes]]:
    """Yield the files of an archive with their bytes, one at a time.

    Each is named by its path in the archive and known by that path behind what the archive is known by, so that the same archive again
    brings the same documents. What metadata the archive came with is each file's.

    Raises:
        AppError: the archive is damaged or empty.
    """
    known_by = header.external_id or header.url or header.name
    try:
        async for member in parser.unpack(archive):
            digest = await asyncio.to_thread(lambda content: hashlib.sha256(content).hexdigest(), member.content)
            own = replace(
                header,
                name=member.name[-MAX_NAME_CHARS:],
                external_id=f"{known_by}/{member.name}"[-MAX_EXTERNAL_ID_CHARS:],
                declared_media_type="",
            )
            yield from_file(own, digest, len(member.content)), member.content
    except DocumentRejected as rejected:
        raise invalid_argument(rejected.reason, rejected.message, field="file") from rejected
