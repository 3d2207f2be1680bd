"""Rich Text Format: headings by outline level, lists, tables as Markdown; title, author and dates from its information group.

Written after Microsoft's "Rich Text Format (RTF) Specification", version 1.9.1. One pass over the control words, without recursion.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from ingestor.adapters.parsers.decoding import known_code_page
from ingestor.domain.document_builder import DocumentBuilder, too_large
from ingestor.domain.parsing import DocumentLimits, ParsedDocument, SourceFile

_TOKEN = re.compile(
    rb"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,9})? ?|\\'(?P<byte>[0-9a-fA-F]{2})|\\(?P<sign>[^a-zA-Z])"
    rb"|(?P<brace>[{}])|[\r\n]+|(?P<text>[^\\{}\r\n]+)|\\"
)
_MAX_DEPTH = 2_000
_BODY_LEVEL = 9  # "outlinelevel" counts from 0; 9 is body text
# Destinations that hold no running text; so does every group that begins with "\*".
_LEFT_OUT_WORDS = (
    "annotation atnauthor atnid colortbl datastore fldinst footer footerf footerl footerr footnote ftncn ftnsep ftnsepc header headerf "
    "headerl headerr listtable listoverridetable nonesttables objdata objclass operator pict private revtbl rxe tc themedata txe xe "
    "keywords subject comment doccomm company manager category printim buptim"
)
_LEFT_OUT = frozenset(_LEFT_OUT_WORDS.split())
_NUMBERING = ("listtext", "pntext")
_KEPT_THOUGH_STARRED = ("shptxt", "shpinst", "nesttableprops")
_CHARACTERS = {
    "tab": "\t", "line": "\n", "emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘", "rquote": "’", "ldblquote": "“",
    "rdblquote": "”", "emspace": "\u2003", "enspace": "\u2002", "nestcell": " ", "sect": "\n", "page": "\n",
}  # fmt: skip
_SIGNS = {b"~": "\u00a0", b"_": "‑", b"\\": "\\", b"{": "{", b"}": "}"}
_CODE_PAGES = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850", "ansi": "cp1252"}
# Character sets of fonts, as Windows numbers them.
_FONT_CODE_PAGES = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 134: "gbk", 136: "big5", 161: "cp1253", 162: "cp1254", 163: "cp1258",
    177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip
_TIME_PARTS = ("yr", "mo", "dy", "hr", "min")


@dataclass(frozen=True, slots=True)
class _Group:
    """What ends with a closing brace. ``destination``: where text goes; ``fallbacks``: characters that stand in for one of Unicode."""

    destination: str = "body"
    code_page: str = "cp1252"
    fallbacks: int = 1
    hidden: bool = False


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the running text; headers, footers, footnotes, comments and hidden text are left out."""
    builder = DocumentBuilder(limits)
    reader = _Reader(_Layout(builder))
    reader.read(source.content)
    said = reader.information
    return builder.build(
        "rtf",
        title=said.get("title"),
        author=said.get("author"),
        create_time=_time(reader.times.get("creatim")),
        update_time=_time(reader.times.get("revtim")),
    )


def _time(parts: dict[str, int] | None) -> datetime | None:
    try:
        return datetime(*(parts[part] for part in _TIME_PARTS)) if parts else None  # type: ignore[arg-type]  # noqa: DTZ001 - RTF names no zone
    except (KeyError, ValueError):
        return None


class _Layout:
    """Puts paragraphs and cells together."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._text: list[str] = []
        self._cells: list[str] = []
        self._rows: list[list[str]] = []
        self.level: int | None = None
        self.in_table = False
        self.is_item = False

    def write(self, text: str) -> None:
        self._text.append(text)

    def reset_paragraph(self) -> None:
        self.level, self.in_table, self.is_item = None, False, False

    def end_paragraph(self) -> None:
        if self.in_table:
            self._text.append(" ")
            return
        self._end_table()
        text = self._taken()
        if self.level is not None:
            self._builder.heading(text, self.level)
        elif self.is_item:
            self._builder.item(text)
        else:
            self._builder.paragraph(text)
        self.is_item = False

    def end_cell(self) -> None:
        self._cells.append(self._taken().strip())
        self.is_item = False

    def end_row(self) -> None:
        self._rows.append(self._cells)
        self._cells = []

    def end(self) -> None:
        """Write what a file that was cut off had begun."""
        if self._cells:
            self.end_row()
        self.in_table = False
        self.end_paragraph()

    def _end_table(self) -> None:
        if self._rows:
            self._builder.table(self._rows)
            self._rows = []

    def _taken(self) -> str:
        """Return the text written so far; halves of a surrogate pair, which RTF writes one by one, become one character."""
        text = "".join(self._text)
        self._text.clear()
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


class _Reader:
    """Follows the control words. ``information``: the texts of the information group; ``times``: its times, part by part."""

    def __init__(self, layout: _Layout) -> None:
        self._layout = layout
        self._group = _Group()
        self._outer: list[_Group] = []
        self._starred = False
        self._to_skip = 0
        self._pending = bytearray()
        self._code_page = "cp1252"
        self._font = 0
        self._font_code_pages: dict[int, str] = {}
        self._style = 0
        self._style_levels: dict[int, int] = {}
        self.information: dict[str, str] = {}
        self.times: dict[str, dict[str, int]] = {}
        self._paragraph_words: dict[str, Callable[[], None]] = {
            "par": layout.end_paragraph, "cell": layout.end_cell, "row": layout.end_row, "pard": layout.reset_paragraph,
        }  # fmt: skip

    def read(self, content: bytes) -> None:
        position = 0
        while token := _TOKEN.match(content, position):
            position = token.end()
            if token["text"] is not None:
                self._bytes(token["text"])
            elif token["byte"] is not None:
                self._bytes(bytes([int(token["byte"], 16)]))
            elif token["word"] is not None:
                number = int(token["number"]) if token["number"] is not None else None
                if token["word"] == b"bin":
                    position += max(0, number or 0)
                else:
                    self._word(token["word"].decode("ascii"), number)
            elif token["sign"] is not None:
                self._sign(token["sign"])
            elif token["brace"] is not None:
                self._brace(opening=token["brace"] == b"{")
        self._flush()
        self._layout.end()

    def _brace(self, *, opening: bool) -> None:
        self._flush()
        self._starred = False
        self._to_skip = 0
        if opening:
            if len(self._outer) == _MAX_DEPTH:
                raise too_large(f"groups nested more than {_MAX_DEPTH:,} deep")
            self._outer.append(self._group)
        elif self._outer:
            self._group = self._outer.pop()

    def _sign(self, sign: bytes) -> None:
        if sign == b"*":
            self._starred = True
        elif sign in _SIGNS:
            self._characters(_SIGNS[sign])
        elif sign in b"\r\n":
            self._word("par", None)

    def _bytes(self, content: bytes) -> None:
        """Gather bytes of the current code page: a character may take several of them."""
        skipped = min(self._to_skip, len(content))
        self._to_skip -= skipped
        self._pending += content[skipped:]

    def _flush(self) -> None:
        if self._pending:
            text = self._pending.decode(self._group.code_page, "replace")
            self._pending.clear()
            self._write(text)

    def _characters(self, text: str) -> None:
        self._flush()
        if self._to_skip:
            self._to_skip -= 1
        else:
            self._write(text)

    def _write(self, text: str) -> None:
        destination = self._group.destination
        if destination == "body":
            if not self._group.hidden:
                self._layout.write(text)
        elif destination in ("title", "author"):
            self.information[destination] = self.information.get(destination, "") + text

    def _word(self, word: str, number: int | None) -> None:
        self._flush()
        if self._starred:
            self._starred = False
            if word not in _KEPT_THOUGH_STARRED:
                self._group = replace(self._group, destination="nowhere")
            return
        if word == "u" and number is not None:
            self._write(chr(number % 65_536))
            self._to_skip = self._group.fallbacks
        elif word in _CHARACTERS:
            self._characters(_CHARACTERS[word])
        elif self._group.destination == "body":
            self._body_word(word, number)
        elif self._group.destination in self.times and number is not None:
            self.times[self._group.destination][word] = number
        elif self._group.destination in ("fonts", "styles", "info"):
            self._table_word(word, number)

    def _body_word(self, word: str, number: int | None) -> None:
        if word in self._paragraph_words:
            self._paragraph_words[word]()
        elif word == "s" and number is not None:
            self._layout.level = self._style_levels.get(number)
        elif word == "outlinelevel" and number is not None:
            self._layout.level = number + 1 if 0 <= number < _BODY_LEVEL else None
        elif word == "intbl":
            self._layout.in_table = True
        elif word in _NUMBERING:
            self._layout.is_item = True
            self._group = replace(self._group, destination="nowhere")
        elif word in ("v", "deleted"):
            self._group = replace(self._group, hidden=number != 0)
        elif word == "uc" and number is not None:
            self._group = replace(self._group, fallbacks=max(0, number))
        else:
            self._enter_destination(word)
            self._set_code_page(word, number)

    def _enter_destination(self, word: str) -> None:
        destination = {"fonttbl": "fonts", "stylesheet": "styles", "info": "info"}.get(word)
        if destination is not None:
            self._group = replace(self._group, destination=destination)
        elif word in _LEFT_OUT:
            self._group = replace(self._group, destination="nowhere")

    def _set_code_page(self, word: str, number: int | None) -> None:
        if word == "ansicpg" and number is not None:
            self._code_page = known_code_page(number)
        elif word in _CODE_PAGES:
            self._code_page = _CODE_PAGES[word]
        elif word == "f" and number is not None:
            self._group = replace(self._group, code_page=self._font_code_pages.get(number, self._code_page))
            return
        elif word != "plain":
            return
        self._group = replace(self._group, code_page=self._code_page)

    def _table_word(self, word: str, number: int | None) -> None:
        if self._group.destination == "info":
            if word in ("title", "author"):
                self._group = replace(self._group, destination=word)
            elif word in ("creatim", "revtim"):
                self.times[word] = {}
                self._group = replace(self._group, destination=word)
            elif word in _LEFT_OUT:
                self._group = replace(self._group, destination="nowhere")
        elif word == "f" and number is not None:
            self._font = number
        elif word == "fcharset" and number in _FONT_CODE_PAGES:
            self._font_code_pages[self._font] = _FONT_CODE_PAGES[number]
        elif word == "s" and number is not None:
            self._style = number
        elif word == "outlinelevel" and number is not None and 0 <= number < _BODY_LEVEL:
            self._style_levels[self._style] = number + 1
