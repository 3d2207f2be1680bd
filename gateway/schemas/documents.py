from __future__ import annotations

from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from gateway.domain.documents import DocumentState
from gateway.schemas.jobs import Job
from gateway.schemas.shapes import Change, Metadata, OptionalText, Page, RequestBody, Shape, own_id

DocumentName = Annotated[str, Field(min_length=1, max_length=500, description="File name or title.")]
ExternalId = Annotated[str, Field(min_length=1, max_length=500, description="Your own id; taking it in again replaces the content.")]


def _web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("this is no URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("a URL begins with http:// or https:// and a host")
    return url


class DocumentInput(RequestBody):
    """A document by its content, or by where its content is: exactly one of `url`, `base64` and `text`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "Leave is asked for three weeks ahead.", "name": "leave.txt", "metadata": {"team": "people"}},
                {"url": "https://example.org/handbook.pdf"},
                {"base64": "SGVsbG8=", "name": "hello.txt", "external_id": "greeting-1"},
            ],
        },
    )

    url: Annotated[str, Field(max_length=2000), AfterValidator(_web_address)] | None = Field(default=None, description="Fetch it here.")
    base64: str | None = Field(default=None, min_length=1, description="The bytes of the file, in base64 (RFC 4648, with padding).")
    text: str | None = Field(default=None, min_length=1, description="The text itself.")
    name: DocumentName | None = None
    external_id: ExternalId | None = None
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _exactly_one_content(self) -> DocumentInput:
        if sum(content is not None for content in (self.url, self.base64, self.text)) != 1:
            raise ValueError("give exactly one of url, base64 and text")
        return self


class DocumentForm(RequestBody):
    """The fields beside the file of a multipart upload."""

    name: DocumentName | None = None
    external_id: ExternalId | None = None
    metadata: Metadata | None = None


class DocumentPatch(Change):
    name: DocumentName | None = None
    metadata: Metadata | None = Field(default=None, description="Replaces all of it; `{}` clears it.")


class DocumentPage(Shape):
    """A page, slide or sheet."""

    number: int = Field(description="From 1.")
    text: str


class Document(Shape):
    """A document and what became of it."""

    id: str = own_id("document_id")
    collection_id: str
    external_id: OptionalText = Field(description="Your own id, where you gave one.")
    name: str
    title: OptionalText = Field(description="As the content says.")
    author: OptionalText = Field(description="As the content says.")
    language: OptionalText = Field(description="ISO 639-1 code of the main language.")
    type: OptionalText = Field(description="Found from the content: `pdf`, `docx`, `md`, …; null until parsed.")
    uri: OptionalText = Field(description="Where the original can be opened.")
    metadata: dict[str, JsonValue]
    state: DocumentState = Field(description="What became of the newest content; an older one stays searchable when it failed.")
    reason: OptionalText = Field(description="Stable code of why it failed.")
    message: OptionalText = Field(description="The same in words, naming the fix.")
    size_bytes: int
    content_sha256: OptionalText
    page_count: int
    passage_count: int = Field(description="Passages that searches can see.")
    create_time: datetime | None
    update_time: datetime | None
    indexed_time: datetime | None = Field(description="When the visible content became visible.")


class DocumentList(Page[Document]):
    pass


class DocumentWithPages(Document):
    pages: list[DocumentPage] | None = Field(default=None, description="The pages' texts; null unless asked for by `expand=pages`.")


class AcceptedDocument(Document):
    """A document as it is now, and the job that makes it searchable."""

    job: Job
    unchanged: bool = Field(description="It already had this content, so that nothing is parsed or embedded.")


class AcceptedBatch(Shape):
    """The one job for all lines."""

    job: Job
    unchanged: int = Field(description="Lines whose document already had this content.")


class DeletionReceipt(Shape):
    """Proof of a delete: what was removed so far, and when every store was seen to be empty of it."""

    document_id: str
    job_id: str = Field(description="The job that removes passages, vectors and files.")
    deleted_time: datetime | None = Field(description="From when on nobody sees the document.")
    purge_verified_time: datetime | None = Field(description="When every store was seen to be empty of it; null while purging.")
    passage_count: int
    vector_count: int
    file_count: int
