from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Response
from starlette.requests import Request

from gateway.domain.batch_lines import read_entries
from gateway.domain.documents import Accepted, DocumentChange, DocumentState, settled
from gateway.errors import unsupported_media_type
from gateway.http.client_presence import while_connected
from gateway.http.parameters import CurrentPage
from gateway.http.services import CurrentServices, Services
from gateway.http.strict_route import StrictRoute, media_type
from gateway.http.uploads import MULTIPART, received_document
from gateway.routes.collections import CollectionKey
from gateway.schemas.documents import (
    AcceptedBatch,
    AcceptedDocument,
    DeletionReceipt,
    Document,
    DocumentList,
    DocumentPatch,
    DocumentWithPages,
)
from gateway.schemas.jobs import Job

router = APIRouter(prefix="/api/v1", tags=["documents"], route_class=StrictRoute)
NDJSON: Final = "application/x-ndjson"
DocumentId = Annotated[str, Path(description="The document's id.")]
_FORM_FIELD: Final = {"type": "string"}
_UPLOAD_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "The file; its name becomes the document's."},
                        "name": {**_FORM_FIELD, "description": "Another name for the document."},
                        "external_id": {**_FORM_FIELD, "description": "Your own id; taking it in again replaces the content."},
                        "metadata": {**_FORM_FIELD, "description": "A JSON object."},
                    },
                },
            },
            "application/json": {"schema": {"$ref": "#/components/schemas/DocumentInput"}},
        },
    },
}
_BATCH_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "One JSON object a line: `{id?, name?, text, metadata?}`. `id` comes back as `external_id`.",
        "content": {
            NDJSON: {
                "schema": {"type": "string"},
                "example": '{"id": "a-1", "text": "Leave is asked for three weeks ahead."}\n{"id": "a-2", "text": "Travel is paid."}\n',
            },
        },
    },
}


@router.post(
    "/collections/{collection}/documents",
    status_code=202,
    summary="Take in a document",
    openapi_extra=_UPLOAD_BODY,
    responses={201: {"model": AcceptedDocument, "description": "`wait=true`: its work has ended, READY or FAILED."}},
)
async def create_document(
    collection: CollectionKey,
    request: Request,
    response: Response,
    services: CurrentServices,
    wait: Annotated[bool, Query(description="Answer when the document is READY or FAILED.")] = False,
) -> AcceptedDocument:
    """A file, or JSON with a url, base64 or text. Taking the same bytes in again costs nothing.

    With `wait=true` the answer comes when the work has ended; if that takes too long it is 202 all the same.
    """
    async with received_document(request, collection) as (document, content):
        accepted = await services.documents.upload(document, content)
    if wait and (ended := await while_connected(request, _settled(services, accepted))):
        response.status_code = 201
        accepted = ended
    return _to_accepted(accepted)


async def _settled(services: Services, accepted: Accepted) -> Accepted | None:
    return await settled(accepted, services.documents, services.jobs, services.settings.timeouts.wait_seconds)


def _to_accepted(accepted: Accepted) -> AcceptedDocument:
    return AcceptedDocument(
        **Document.model_validate(accepted.document).model_dump(),
        job=Job.model_validate(accepted.job),
        unchanged=accepted.unchanged,
    )


@router.post("/collections/{collection}/documents:batch", status_code=202, summary="Take in many texts", openapi_extra=_BATCH_BODY)
async def create_documents(collection: CollectionKey, request: Request, services: CurrentServices) -> AcceptedBatch:
    """Read as a stream, all lines or none: a bad line is a 400 that names its number."""
    if media_type(request) != NDJSON:
        raise unsupported_media_type(media_type(request), wanted=NDJSON)
    entries = read_entries(request.stream(), services.settings.limits.max_line_bytes)
    return AcceptedBatch.model_validate(await services.documents.create_batch(collection, entries))


@router.get("/collections/{collection}/documents", summary="List a collection's documents, oldest first")
async def list_documents(
    collection: CollectionKey,
    page: CurrentPage,
    services: CurrentServices,
    state: Annotated[DocumentState | None, Query(description="Only documents in this state.")] = None,
) -> DocumentList:
    return DocumentList.of(await services.documents.list(collection, page, state))


@router.get("/documents/{document}", summary="Get a document")
async def get_document(
    document: DocumentId,
    services: CurrentServices,
    expand: Annotated[Literal["pages"] | None, Query(description="`pages`: with the text of each page.")] = None,
) -> DocumentWithPages:
    got = await services.documents.get(document, with_pages=expand == "pages")
    shape = DocumentWithPages.model_validate(got)
    return shape if expand else shape.model_copy(update={"pages": None})


@router.patch("/documents/{document}", summary="Change a document's name or metadata")
async def update_document(document: DocumentId, body: DocumentPatch, services: CurrentServices) -> Document:
    """A field that is left out stays as it is; `{}` clears metadata. Costs no embedding work."""
    return Document.model_validate(await services.documents.update(document, DocumentChange(body.name, body.metadata)))


@router.delete("/documents/{document}", summary="Delete a document")
async def delete_document(document: DocumentId, services: CurrentServices) -> DeletionReceipt:
    """Invisible at once; a job removes every trace, and the receipt says when that was verified."""
    return DeletionReceipt.model_validate(await services.documents.delete(document))


@router.get("/documents/{document}/deletion-receipt", summary="Get a deletion receipt")
async def get_deletion_receipt(document: DocumentId, services: CurrentServices) -> DeletionReceipt:
    return DeletionReceipt.model_validate(await services.documents.deletion_receipt(document))
