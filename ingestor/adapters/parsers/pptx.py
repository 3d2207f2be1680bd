"""PowerPoint presentations, with python-pptx: one page for each slide, its title as heading, its notes at the end."""

import io
from collections.abc import Iterable

from pptx import Presentation
from pptx.oxml.ns import qn
from pptx.shapes.autoshape import Shape
from pptx.shapes.base import BaseShape
from pptx.shapes.graphfrm import GraphicFrame
from pptx.shapes.group import GroupShape
from pptx.slide import Slide
from pptx.text.text import TextFrame

from ingestor.domain.document_builder import DocumentBuilder, one_line
from ingestor.domain.parsing import DocumentLimits, ParsedDocument, SourceFile

_TEXT = qn("a:t")


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the slides' text in the order of their shapes."""
    presentation = Presentation(io.BytesIO(source.content))
    builder = DocumentBuilder(limits)
    for number, slide in enumerate(presentation.slides, 1):
        builder.start_page()
        _add_slide(slide, number, builder)
    properties = presentation.core_properties
    return builder.build(
        "pptx",
        title=properties.title,
        author=properties.author,
        language=properties.language,
        create_time=properties.created,
        update_time=properties.modified,
    )


def _add_slide(slide: Slide, number: int, builder: DocumentBuilder) -> None:
    title = slide.shapes.title
    notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    notes_text = notes.text.strip() if notes is not None else ""
    heading = one_line(title.text_frame.text) if title is not None else ""
    if not heading and not notes_text and not any(run.text for run in slide.element.iter(_TEXT)):
        return
    # A slide without a title needs a heading of its own all the same, or it would stand under the last slide's.
    builder.heading(heading or f"Slide {number}", 1)
    _add_shapes((shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id), builder)
    builder.paragraph(f"Notes: {notes_text}" if notes_text else "")


def _add_shapes(shapes: Iterable[BaseShape], builder: DocumentBuilder) -> None:
    for shape in shapes:
        if isinstance(shape, GroupShape):
            _add_shapes(shape.shapes, builder)
        elif isinstance(shape, GraphicFrame) and shape.has_table:
            builder.table([cell.text for cell in row.cells] for row in shape.table.rows)
        elif isinstance(shape, Shape):
            _add_text(shape.text_frame, builder)


def _add_text(frame: TextFrame, builder: DocumentBuilder) -> None:
    """Add a text box: one paragraph as such, several as the list that they are on a slide."""
    paragraphs = [paragraph for paragraph in frame.paragraphs if paragraph.text.strip()]
    if len(paragraphs) == 1:
        builder.paragraph(paragraphs[0].text)
        return
    for paragraph in paragraphs:
        builder.item(paragraph.text, paragraph.level)
