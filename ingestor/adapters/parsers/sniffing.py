"""Tells a file's type from its content; the name and the declared media type decide only among textual types."""

import json
import mimetypes
import re
from pathlib import PurePath

import puremagic

from ingestor.adapters.parsers import ole, zip_types
from ingestor.adapters.parsers.decoding import decode
from ingestor.adapters.parsers.libreoffice import TARGETS
from ingestor.domain.parsing import TYPE_NAMES, DocumentLimits, DocumentRejected, RejectionReason, SourceFile

SUPPORTED = ", ".join(TYPE_NAMES.values()) + f", and {len(TARGETS)} others through LibreOffice"

_BINARY_EXTENSIONS = {
    ".pdf": "pdf", ".docx": "docx", ".pptx": "pptx", ".xlsx": "xlsx", ".odt": "odt", ".ods": "ods", ".odp": "odp", ".rtf": "rtf",
    ".epub": "epub", ".msg": "msg", ".zip": "zip",
    ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".jpe": "jpeg", ".tif": "tiff", ".tiff": "tiff", ".webp": "webp",
}  # fmt: skip
_TEXT_EXTENSIONS = {
    ".html": "html", ".htm": "html", ".xhtml": "html",
    ".md": "md", ".markdown": "md", ".mdx": "md",
    ".txt": "txt", ".text": "txt", ".log": "txt",
    ".csv": "csv", ".tsv": "csv",
    ".eml": "eml",
    ".json": "json", ".jsonl": "json", ".ndjson": "json",
}  # fmt: skip
_TEXT_MEDIA_TYPES = {
    "text/html": "html", "application/xhtml+xml": "html",
    "text/markdown": "md", "text/x-markdown": "md",
    "text/csv": "csv", "text/tab-separated-values": "csv",
    "message/rfc822": "eml",
    "application/json": "json", "application/x-ndjson": "json", "application/jsonl": "json",
}  # fmt: skip
# Readers allow for junk around a PDF; a text that only speaks of the header has no table at its end.
_PDF_MAGIC, _PDF_END = b"%PDF-", b"startxref"
_PDF_WITHIN = 1024
_RTF_MAGIC = b"{\\rtf"
_PICTURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"II*\0": "tiff", b"MM\0*": "tiff"}
_RIFF, _WEBP = b"RIFF", b"WEBP"
_CONTAINERS = (*zip_types.MAGICS, ole.MAGIC)
_HTML_START = re.compile(
    r"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,2000}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_MAIL_HEADER_BLOCK = re.compile(rb"(?:From [^\n]*+\n)?(?:[!-9;-~]++:[^\n]*+\n(?:[ \t][^\n]*+\n)*+)++(?=\r?\n|\Z)")
_MAIL_HEADER = re.compile(
    rb"^(?:from|to|subject|date|received|return-path|message-id|mime-version|delivered-to|reply-to):", re.IGNORECASE | re.MULTILINE
)
_MAIL_HEADERS_WITHIN = 64 << 10
# Shorter signatures occur at the start of ordinary text.
_SURE_SIGNATURE_BYTES = 3
_SIGNATURE_WITHIN = 4096


def sniff(source: SourceFile, limits: DocumentLimits) -> str:
    """Return the type of a file.

    Raises:
        DocumentRejected: it is empty, of no supported type, not what its name says, or a container that must not be opened.
    """
    if not source.content:
        raise DocumentRejected(RejectionReason.EMPTY_FILE, "The file is empty. Send one with content.")
    extension = PurePath(source.name).suffix.lower()
    found = _binary_type(source.content, limits)
    expected = _BINARY_EXTENSIONS.get(extension)
    if found in (None, "zip") and extension[1:] in TARGETS:
        return extension[1:]
    if found is not None:
        if expected not in (None, found) or extension in _TEXT_EXTENSIONS:
            raise _mismatch(extension, TYPE_NAMES.get(found, f"a {found} file"))
        return found
    if source.content.startswith(_CONTAINERS):
        raise _unsupported("a document of a kind that nothing here opens, or its name lacks the extension")
    if expected is not None:
        raise _mismatch(extension, _describe(source.content) or ("binary data" if b"\0" in source.content else "text"))
    return _textual_type(source, extension)


def _binary_type(content: bytes, limits: DocumentLimits) -> str | None:
    """Return the type that the content's own signature names; None for text and for what no signature is known of."""
    if content.startswith(_PDF_MAGIC) or (_PDF_MAGIC in content[:_PDF_WITHIN] and _PDF_END in content[-_PDF_WITHIN:]):
        return "pdf"
    if content.startswith(zip_types.MAGICS):
        return zip_types.zip_type(content, limits)
    if content.startswith(ole.MAGIC):
        return ole.ole_type(content)
    if content.startswith(_RTF_MAGIC):
        return "rtf"
    if content.startswith(_RIFF) and content[8:12] == _WEBP:
        return "webp"
    return next((type_ for magic, type_ in _PICTURES.items() if content.startswith(magic)), None)


def _textual_type(source: SourceFile, extension: str) -> str:
    declared = _declared_type(source, extension)
    if declared in (None, "eml"):
        if _looks_like_mail(source.content, headers=1 if declared else 2):
            return "eml"
        if declared:
            raise _mismatch(extension or "as e-mail", "no mail headers")
    try:
        text = decode(source)
    except DocumentRejected:
        if (description := _describe(source.content)) is not None:
            raise (_mismatch(extension, description) if extension in _TEXT_EXTENSIONS else _unsupported(f"a {description}")) from None
        if declared == "html":  # which may name its own character set
            return declared
        raise
    if not text.strip():
        raise DocumentRejected(RejectionReason.EMPTY_FILE, "The file holds nothing but whitespace. Send one with content.")
    if _is_media(extension):
        raise _mismatch(extension, "text")
    return declared or _type_by_content(text)


def _declared_type(source: SourceFile, extension: str) -> str | None:
    media_type = (source.declared_media_type or "").partition(";")[0].strip().lower()
    return _TEXT_EXTENSIONS.get(extension) or _TEXT_MEDIA_TYPES.get(media_type)


def _type_by_content(text: str) -> str:
    if _HTML_START.match(text):
        return "html"
    if text.lstrip()[:1] in ("{", "["):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return "txt"
        return "json"
    return "txt"


def _looks_like_mail(content: bytes, *, headers: int) -> bool:
    """Tell whether the content starts with a block of header lines, of which at least ``headers`` are those of mail."""
    block = _MAIL_HEADER_BLOCK.match(content, 0, _MAIL_HEADERS_WITHIN)
    return block is not None and len(_MAIL_HEADER.findall(block[0])) >= headers


def _describe(content: bytes) -> str | None:
    """Name the format of binary content; None where it is text, or of a format without a signature."""
    start = content[:_SIGNATURE_WITHIN]
    try:
        matches = puremagic.magic_string(start)
    except (puremagic.PureError, ValueError):
        return None
    for match in matches:
        signature = match.byte_match or b""
        if len(signature) >= _SURE_SIGNATURE_BYTES and (b"\0" in start or not signature.isascii()):
            return str(match.name)
    return None


def _is_media(extension: str) -> bool:
    media_type = mimetypes.types_map.get(extension, "")
    return media_type.startswith(("image/", "audio/", "video/", "font/")) and media_type != "image/svg+xml"


def _mismatch(extension: str, description: str) -> DocumentRejected:
    return DocumentRejected(
        RejectionReason.EXTENSION_MISMATCH,
        f"The file is named {extension} but holds {description}. Give it the extension of its content. Supported are {SUPPORTED}.",
    )


def _unsupported(description: str) -> DocumentRejected:
    return DocumentRejected(RejectionReason.UNSUPPORTED_TYPE, f"The file is {description}. Supported are {SUPPORTED}.")
