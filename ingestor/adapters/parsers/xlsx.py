"""Excel workbooks, with openpyxl: every sheet under a heading of its name, its rows as Markdown tables, formulas by their stored values."""

import io
from collections.abc import Iterator
from datetime import date, datetime, time
from itertools import chain

from openpyxl import load_workbook
from openpyxl.worksheet._read_only import ReadOnlyWorksheet

from ingestor.domain.document_builder import DocumentBuilder, too_large
from ingestor.domain.parsing import DocumentLimits, ParsedDocument, SourceFile


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the cells that hold something, sheet by sheet; hidden sheets too."""
    workbook = load_workbook(io.BytesIO(source.content), read_only=True, data_only=True)
    builder = DocumentBuilder(limits)
    for sheet in workbook.worksheets:
        if isinstance(sheet, ReadOnlyWorksheet):  # and no chart sheet
            rows = _rows(sheet, limits)
            if (first := next(rows, None)) is not None:
                builder.heading(sheet.title, 1)
                builder.table(chain([first], rows))
    properties = workbook.properties
    return builder.build(
        "xlsx",
        title=properties.title,
        author=properties.creator,
        create_time=properties.created,
        update_time=properties.modified,
    )


def _rows(sheet: ReadOnlyWorksheet, limits: DocumentLimits) -> Iterator[list[str]]:
    """Yield the rows with content, as wide as the first of them at least."""
    sheet.reset_dimensions()  # what a file says of its size need not be true
    width = 0
    rows = sheet.iter_rows(values_only=True)  # type: ignore[misc]  # borrowed by the class from another
    for number, row in enumerate(rows, 1):
        if number > limits.max_table_rows:
            raise too_large(f"a sheet of more than {limits.max_table_rows:,} rows")
        cells = [_cell(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        if len(cells) > limits.max_table_columns:
            raise too_large(f"a row of {len(cells):,} columns, more than {limits.max_table_columns:,}")
        if cells:
            width = width or len(cells)
            yield cells + [""] * (width - len(cells))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime) and value.time() == time(0):
        return value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value)
