"""Turns the bytes of a text file into text."""

import codecs
import re

from ingestor.domain.parsing import DocumentRejected, RejectionReason, SourceFile

# Longer marks first: the mark of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Python also has codecs that are no character sets ("idna", "unicode_escape"); a declared name must be one of these families.
_CHARACTER_SETS = re.compile(r"(utf|iso8859|cp\d|koi8|mac_|gb|big5|euc_|shift_jis|iso2022|latin|ascii|tis_620|hz)", re.IGNORECASE)
# What browsers take these names to mean.
_MEANT = {"iso8859-1": "cp1252", "ascii": "cp1252"}
_CHARSET_PARAMETER = re.compile(r"""charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)


def charset_of(declaration: str | None) -> str | None:
    """Return the ``charset`` that a media type or an HTML ``meta`` element declares, as Python names it; None where it is none we know."""
    match = _CHARSET_PARAMETER.search(declaration or "")
    if match is None:
        return None
    try:
        name = codecs.lookup(match[1]).name
    except LookupError:
        return None
    return _MEANT.get(name, name) if _CHARACTER_SETS.match(name) else None


def known_code_page(number: int) -> str:
    """Return Python's name of a Windows code page; that of Western Europe where it knows none."""
    try:
        return codecs.lookup(f"cp{number}").name
    except LookupError:
        return "cp1252"


def decode(source: SourceFile, charset: str | None = None) -> str:
    """Decode a text file: by its byte order mark, else as UTF-8, else in the character set that was declared.

    UTF-8 goes before the declaration because text that happens to be valid UTF-8 practically never is anything else, and wrong
    declarations are common.

    Args:
        source: the file; a ``charset`` in its declared media type counts before the ``charset`` given.
        charset: what the content itself declares.

    Raises:
        DocumentRejected: ``INVALID_ENCODING`` with the offset of the first byte that does not fit, or ``BINARY_CONTENT``.
    """
    marked = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if source.content.startswith(mark)), None)
    declared = charset_of(source.declared_media_type) or charset
    try:
        text = source.content.decode(marked or "utf-8")
    except UnicodeDecodeError as error:
        if marked or declared in (None, "utf-8"):
            raise _invalid(error) from error
        try:
            text = source.content.decode(declared)
        except UnicodeDecodeError as declared_error:
            raise _invalid(declared_error) from error
    if "\0" in text:
        raise DocumentRejected(
            RejectionReason.BINARY_CONTENT,
            f"The file holds a NUL character at position {text.index(chr(0))}, which text never does. Send the text without binary data.",
        )
    return text


def _invalid(error: UnicodeDecodeError) -> DocumentRejected:
    return DocumentRejected(
        RejectionReason.INVALID_ENCODING,
        f"The text is not valid {error.encoding.upper()} at byte {error.start}. "
        "Save it as UTF-8, or as UTF-16 or UTF-32 with a byte order mark.",
    )
