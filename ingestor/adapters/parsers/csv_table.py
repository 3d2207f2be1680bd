"""CSV: a Markdown table under the names of its columns."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice

from ingestor.adapters.parsers.decoding import decode
from ingestor.domain.document_builder import DocumentBuilder, one_line, too_large
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, ParsedDocument, RejectionReason, SourceFile

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_ROWS = 20
_SAMPLE_CHARS = 64 << 10


def check(source: SourceFile, limits: DocumentLimits) -> None:
    """Read the header.

    Raises:
        DocumentRejected: ``DOCUMENT_TOO_LARGE`` when it has too many columns.
    """
    next(_rows(decode(source), limits), None)


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return one table; its first row names the columns unless it holds numbers, gaps or repetitions: then they are numbered."""
    builder = DocumentBuilder(limits)
    rows = _rows(decode(source), limits)
    first = next(rows, [])
    names = [one_line(cell) for cell in first]
    if _is_header(names):
        builder.table(chain([names], rows))
    elif any(names):
        builder.table(chain([[f"Column {number}" for number in range(1, len(first) + 1)], first], rows))
    return builder.build("csv")


def _rows(text: str, limits: DocumentLimits) -> Iterator[list[str]]:
    csv.field_size_limit(limits.max_text_chars)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        for number, row in enumerate(reader, 1):
            if number > limits.max_table_rows:
                raise too_large(f"more than {limits.max_table_rows:,} rows")
            if len(row) > limits.max_table_columns:
                raise too_large(f"a row of {len(row):,} columns, more than {limits.max_table_columns:,}")
            if any(cell.strip() for cell in row):
                yield row
    except csv.Error as error:
        raise DocumentRejected(
            RejectionReason.CORRUPT_DOCUMENT, f"Line {reader.line_num} is not CSV ({error}). Correct it there and send it again."
        ) from error


def _delimiter(text: str) -> str:
    """Return the delimiter that cuts most of the first rows into the same number of columns; the more columns, the better."""

    def agreement(delimiter: str) -> tuple[int, int]:
        reader = csv.reader(io.StringIO(text[:_SAMPLE_CHARS], newline=""), delimiter=delimiter)
        widths = Counter(len(row) for row in islice(reader, _SAMPLE_ROWS) if len(row) > 1)
        return max(((rows, width) for width, rows in widths.items()), default=(0, 0))

    return max(_DELIMITERS, key=agreement)


def _is_header(names: list[str]) -> bool:
    return all(names) and len(set(names)) == len(names) and not any(name.replace(".", "").replace(",", "").isdigit() for name in names)
