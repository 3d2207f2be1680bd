"""A document out of a request, whichever way it was sent."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from gateway.domain import strict_json
from gateway.domain.documents import NewDocument
from gateway.domain.strict_json import JsonValue
from gateway.errors import nul_character, unsupported_media_type
from gateway.http.problems import validation_error
from gateway.http.strict_route import JSON, media_type, read_json
from gateway.schemas.documents import DocumentForm, DocumentInput
from shared.errors import AppError, invalid_argument
from shared.rpc.limits import STREAM_PART_BYTES

MULTIPART: Final = "multipart/form-data"
_MAX_FIELDS: Final = 10
_MAX_FIELD_BYTES: Final = 1024 * 1024
Received = tuple[NewDocument, AsyncIterator[bytes]]


@asynccontextmanager
async def received_document(request: Request, collection: str) -> AsyncIterator[Received]:
    """The document that ``request`` brings, and its bytes.

    A multipart file larger than a megabyte waits on the disk: fields may follow it, and a slow client must not hold a call to the
    ingestor.

    Raises:
        AppError: UNSUPPORTED_MEDIA_TYPE, MULTIPART_INVALID, INVALID_REQUEST, INVALID_BASE64, or what the body's own reading raises.
    """
    match media_type(request):
        case "multipart/form-data":
            try:
                form = await request.form(max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES)
            except HTTPException as error:
                raise _invalid_form(error.detail) from None
            try:
                yield _from_form(form, collection)
            finally:
                await form.close()
        case "application/json":
            yield await _from_json(await read_json(request, DocumentInput), collection)
        case given:
            raise unsupported_media_type(given, wanted=f"{MULTIPART} or {JSON}")


def _from_form(form: FormData, collection: str) -> Received:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise _invalid_form("it has no part `file` with a file name")
    fields = _fields(form)
    name = fields.name or file.filename or ""
    if not name:
        raise _invalid_form("the file has no name; give one in its `filename` or in the field `name`")
    if "\0" in name:
        raise nul_character("name")
    document = NewDocument(
        collection, name=name, external_id=fields.external_id or "", metadata=fields.metadata, media_type=file.content_type or ""
    )
    return document, _file_parts(file)


def _fields(form: FormData) -> DocumentForm:
    values: dict[str, JsonValue] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            if name in values:
                raise _invalid_form(f"the field {name!r} comes twice")
            values[name] = strict_json.parse(value.encode()) if name == "metadata" else value
            strict_json.check(values[name])
    try:
        return DocumentForm.model_validate(values)
    except ValidationError as error:
        raise validation_error(error.errors(include_url=False, include_input=False)) from None


async def _file_parts(file: UploadFile) -> AsyncGenerator[bytes, None]:
    while part := await file.read(STREAM_PART_BYTES):
        yield part


async def _from_json(body: DocumentInput, collection: str) -> Received:
    if body.base64 is not None:
        content = await asyncio.to_thread(_decoded, body.base64)
        name, media = f"file-{_digest(content)}", ""
    elif body.text is not None:
        content = body.text.encode()
        name, media = f"text-{_digest(content)}.txt", "text/plain"
    else:
        content, name, media = b"", "", ""
    document = NewDocument(
        collection,
        name=body.name or name,
        external_id=body.external_id or "",
        metadata=body.metadata,
        media_type=media,
        url=body.url or "",
    )
    return document, _one_part(content)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid_argument("INVALID_BASE64", "`base64` is not base64 as RFC 4648 has it, with padding.", field="body.base64") from None


def _digest(content: bytes) -> str:
    """So that content without a name is known again by what it is."""
    return hashlib.sha256(content).hexdigest()[:12]


async def _one_part(content: bytes) -> AsyncGenerator[bytes, None]:
    if content:
        yield content


def _invalid_form(what: str) -> AppError:
    return invalid_argument("MULTIPART_INVALID", f"The form cannot be taken in: {what}.")
