"""HTML, with lexbor: headings with their ids, lists, tables as Markdown; scripts, styles and navigation are dropped."""

import re
from datetime import datetime

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ingestor.adapters.parsers.decoding import charset_of, decode
from ingestor.domain.document_builder import DocumentBuilder, one_line
from ingestor.domain.parsing import DocumentLimits, ParsedDocument, SourceFile

_META_CHARSET = re.compile(rb"<meta[^>]{0,300}?charset[^>]{0,100}>", re.IGNORECASE)
_META_WITHIN = 4096
_DROPPED = ["script", "style", "noscript", "template", "nav", "svg", "iframe", "object", "button", "select", "textarea"]
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset(("ul", "ol", "menu"))
_BLOCK_TAGS = (
    "address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure footer form header "
    "hgroup hr legend li main ol p section summary table tbody td tfoot th thead tr ul menu"
)
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_MAX_COLUMN_SPAN = 100


def check(source: SourceFile, _: DocumentLimits) -> None:
    """Decode the page; any text is HTML.

    Raises:
        DocumentRejected: ``INVALID_ENCODING`` or ``BINARY_CONTENT``.
    """
    _decode(source)


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the page's body as Markdown; title, author and dates from its head."""
    tree = LexborHTMLParser(_decode(source))
    builder = DocumentBuilder(limits)
    _add_blocks(tree, builder)
    meta = _meta(tree)
    title = tree.css_first("title")
    return builder.build(
        "html",
        title=(title.text() if title is not None else None) or meta.get("og:title"),
        author=meta.get("author") or meta.get("article:author"),
        language=(tree.root.attributes.get("lang") if tree.root is not None else None) or "",
        create_time=_time(meta.get("article:published_time") or meta.get("date")),
        update_time=_time(meta.get("article:modified_time") or meta.get("last-modified")),
    )


def add_body(html: str, builder: DocumentBuilder) -> None:
    """Add the visible blocks of a page to a document."""
    _add_blocks(LexborHTMLParser(html), builder)


def _add_blocks(tree: LexborHTMLParser, builder: DocumentBuilder) -> None:
    if tree.body is not None:
        tree.body.strip_tags(_DROPPED, recursive=True)
        _Walk(builder).over(tree.body)


def _decode(source: SourceFile) -> str:
    meta = _META_CHARSET.search(source.content, 0, _META_WITHIN)
    return decode(source, charset_of(meta[0].decode("ascii", "replace")) if meta else None)


def _meta(tree: LexborHTMLParser) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.css("meta[content]"):
        name = node.attributes.get("name") or node.attributes.get("property") or ""
        found.setdefault(name.lower(), node.attributes.get("content") or "")
    return found


def _time(value: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(value.strip()) if value else None
    except ValueError:
        return None


class _Walk:
    """Goes through the tree in document order, without recursion: pages nest as deeply as they please."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._inline: list[str] = []
        self._list_depth = 0
        self._item_open = False

    def over(self, root: LexborNode) -> None:
        """Add everything below ``root``."""
        pending = [(root, False)]
        while pending:
            node, leaving = pending.pop()
            if leaving:
                self._leave(node, node.tag or "")
            elif self._enter(node, node.tag or ""):
                pending.append((node, True))
                child = node.last_child
                while child is not None:
                    pending.append((child, False))
                    child = child.prev
        self._flush()

    def _enter(self, node: LexborNode, tag: str) -> bool:
        """Return whether the children of ``node`` are to be visited."""
        if tag == "-text":
            self._inline.append((node.text_content or "").replace("\n", " "))
            return False
        if tag == "br":
            self._inline.append("\n")
        elif tag == "img":
            self._inline.append(f" {node.attributes.get('alt') or ''} ")
        elif tag == "pre":
            self._flush()
            self._builder.paragraph(f"```\n{node.text().strip(chr(10))}\n```" if node.text().strip() else "")
            return False
        elif tag == "table" and len(node.css("table")) == 1:
            self._flush()
            self._table(node)
            return False
        elif tag in _BLOCKS or tag in _HEADINGS:
            if "hidden" in node.attributes:
                return False
            self._flush()
            self._list_depth += tag in _LISTS
            self._item_open = tag == "li"
        return not tag.startswith("-")

    def _leave(self, node: LexborNode, tag: str) -> None:
        if tag in _HEADINGS:
            text = one_line("".join(self._inline))
            self._inline.clear()
            self._builder.heading(text, _HEADINGS[tag], _anchor(node))
        elif tag in _BLOCKS:
            self._flush()
            self._list_depth -= tag in _LISTS
            self._item_open = False

    def _flush(self) -> None:
        """Write what has gathered since the last block as an item or a paragraph."""
        if not self._inline:
            return
        text = "\n".join(" ".join(line.split()) for line in "".join(self._inline).split("\n")).strip()
        self._inline.clear()
        if not text:
            return
        if self._item_open:
            self._builder.item(text, max(0, self._list_depth - 1))
            self._item_open = False
        else:
            self._builder.paragraph(text)

    def _table(self, table: LexborNode) -> None:
        caption = table.css_first("caption")
        if caption is not None:
            self._builder.paragraph(one_line(caption.text()))
        self._builder.table(_cells(row) for row in table.css("tr"))


def _cells(row: LexborNode) -> list[str]:
    cells: list[str] = []
    for cell in row.iter():
        if cell.tag in ("td", "th"):
            cells.append(cell.text(separator=" "))
            span = cell.attributes.get("colspan") or "1"
            cells.extend([""] * (min(int(span), _MAX_COLUMN_SPAN) - 1 if span.isascii() and span.isdigit() else 0))
    return cells


def _anchor(heading: LexborNode) -> str:
    """Return the id of a heading: its own, else that of something inside it, else that of the section it opens."""
    if heading.id:
        return heading.id
    inner = heading.css_first("[id], a[name]")
    if inner is not None:
        return inner.id or inner.attributes.get("name") or ""
    parent = heading.parent
    return parent.id or "" if parent is not None and parent.tag in ("section", "article") else ""
