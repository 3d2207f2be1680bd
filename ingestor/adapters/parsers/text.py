"""Plain text: taken as it is."""

from ingestor.adapters.parsers.decoding import decode
from ingestor.domain.document_builder import DocumentBuilder
from ingestor.domain.parsing import DocumentLimits, ParsedDocument, SourceFile


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the text as one block, without headings."""
    builder = DocumentBuilder(limits)
    builder.paragraph(decode(source))
    return builder.build("txt")
