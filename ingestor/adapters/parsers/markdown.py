"""Markdown: kept as written, with its headings marked and its front matter read."""

import re
from collections.abc import Iterator
from datetime import datetime

from ingestor.adapters.parsers.decoding import decode
from ingestor.domain.document_builder import DocumentBuilder, clean_text
from ingestor.domain.parsing import DocumentLimits, Heading, ParsedDocument, SourceFile

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.{0,20000}?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_MATTER_FIELD = re.compile(r"^([A-Za-z_-]+):[ \t]*(\S[^\n]*)$", re.MULTILINE)
_MAX_HEADING_CHARS = 1_000
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_CLOSING_HASHES = re.compile(r"(?:^|[ \t])#+[ \t]*$")
_EXPLICIT_ANCHOR = re.compile(r"[ \t]*\{#([\w:.-]+)\}[ \t]*$")
_SETEXT_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NOT_A_PARAGRAPH = re.compile(r"\s*(?:[-*+>|#]|\d+[.)]\s|$)")
_LINK_OR_IMAGE = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_MARKUP = re.compile(r"[`*]|(?<!\w)_+|_+(?!\w)|</?[A-Za-z][^<>]*>")
_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the text without its front matter; the title is the front matter's, else the first heading of level 1."""
    text = clean_text(decode(source))
    fields: dict[str, str] = {}
    if front_matter := _FRONT_MATTER.match(text):
        fields = {name.lower(): value.strip().strip("\"'") for name, value in _FRONT_MATTER_FIELD.findall(front_matter[1])}
        text = text[front_matter.end() :]
    text = text.strip("\n")
    builder = DocumentBuilder(limits)
    builder.paragraph(text)
    title = fields.get("title")
    for heading in _headings(text):
        builder.mark_heading(heading)
        if title is None and heading.level == 1:
            title = heading.text
    return builder.build(
        "md",
        title=title,
        author=fields.get("author"),
        language=fields.get("lang", ""),
        create_time=_date(fields.get("date")),
        update_time=_date(fields.get("updated") or fields.get("lastmod")),
    )


def _headings(text: str) -> Iterator[Heading]:
    """Yield ATX and setext headings outside of fenced code, with the anchors that GitHub gives them."""
    seen: dict[str, int] = {}
    fence = ""
    offset = 0
    paragraph, paragraph_start = "", 0
    for line in text.split("\n"):
        start, offset = offset, offset + len(line) + 1
        marker = _FENCE.match(line)
        above, paragraph = paragraph, ""
        if fence:
            if marker and marker[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif marker:
            fence = marker[1]
        elif len(line) > _MAX_HEADING_CHARS:
            continue
        elif (atx := _ATX_HEADING.match(line)) and (title := _CLOSING_HASHES.sub("", atx[2] or "").strip()):
            yield _heading(start, len(atx[1]), title, seen)
        elif above and (underline := _SETEXT_UNDERLINE.match(line)):
            yield _heading(paragraph_start, 1 if underline[1][0] == "=" else 2, above, seen)
        elif not _NOT_A_PARAGRAPH.match(line):
            paragraph, paragraph_start = line, start


def _heading(start: int, level: int, title: str, seen: dict[str, int]) -> Heading:
    explicit = _EXPLICIT_ANCHOR.search(title)
    if explicit:
        title = title[: explicit.start()]
    title = _MARKUP.sub("", _LINK_OR_IMAGE.sub(r"\1", title)).strip()
    anchor = _NOT_IN_ANCHOR.sub("", title.lower()).replace(" ", "-")
    count = seen.get(anchor, 0)
    seen[anchor] = count + 1
    if count:
        anchor = f"{anchor}-{count}"
    return Heading(start, level, title, explicit[1] if explicit else anchor)


def _date(value: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if value else None
    except ValueError:
        return None
