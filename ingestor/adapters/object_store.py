"""Documents' bytes in an object store: a local folder, S3, GCS or Azure, by URL."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, from_url

from ingestor.adapters.postgres.database import Database
from ingestor.domain.content import object_key
from ingestor.errors import content_lost
from shared.errors import unavailable

# Bytes without a document are removed after this; an upload that takes longer puts them again.
KEEP = timedelta(hours=1)
# Noted before the bytes are written, so that no file is ever unknown.
ANNOUNCE = """
INSERT INTO library.stored_object (organisation_id, object_key, size_bytes, keep_until) VALUES ($1, $2, $3, now() + $4)
ON CONFLICT (organisation_id, object_key) DO UPDATE SET keep_until = excluded.keep_until
"""


def open_store(url: str) -> Any:
    """The store at ``url``; ``file:///folder`` is made when it is not there. Credentials come from the cloud's own environment names.

    Raises:
        ValueError: the URL names no store that we know.
    """
    address = urlsplit(url)
    if address.scheme == "file":
        return LocalStore(Path(unquote(address.path)), mkdir=True)
    if address.scheme == "memory":
        return MemoryStore()
    try:
        return from_url(url)
    except (BaseError, ValueError) as error:
        raise ValueError(f"The URL of the object store cannot be used: {error}") from error


class ObjectContent:
    """A `ContentStore` and `FileRemover` over one object store, with a row in Postgres for each file."""

    def __init__(self, store: Any, database: Database) -> None:
        self._store = store
        self._database = database

    async def put(self, organisation_id: str, content_sha256: str, content: bytes) -> None:
        key = object_key(content_sha256)
        async with self._database.connection() as connection:
            await connection.execute(ANNOUNCE, organisation_id, key, len(content), KEEP)
        try:
            await obstore.put_async(self._store, _path(organisation_id, key), content)
        except (BaseError, OSError) as error:
            raise unavailable("object store") from error

    async def get(self, organisation_id: str, content_sha256: str) -> bytes:
        try:
            result = await obstore.get_async(self._store, _path(organisation_id, object_key(content_sha256)))
            content = bytes(await result.bytes_async())
        except FileNotFoundError as error:
            raise content_lost("CONTENT_LOST", "The object store no longer has the bytes of this document. Upload it again.") from error
        except (BaseError, OSError) as error:
            raise unavailable("object store") from error
        if hashlib.sha256(content).hexdigest() != content_sha256:
            raise content_lost("CONTENT_CORRUPT", "The object store gave back other bytes than were uploaded. Upload the document again.")
        return content

    async def remove(self, organisation_id: str, object_key: str) -> None:
        try:
            await obstore.delete_async(self._store, _path(organisation_id, object_key))
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise unavailable("object store") from error


def _path(organisation_id: str, key: str) -> str:
    # The prefix keeps names like `..` from being read as steps.
    return f"organisation-{quote(organisation_id, safe='')}/{key}"
