"""Makes what a model writes text that can be sent, stored and read: no broken characters, none that hide something."""

from __future__ import annotations

import re
from html.entities import html5

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# A carriage return is mended with what follows it; these alone end a line too.
_LINE_ENDS = "\v\f\x85\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}"
# Controls; marks that turn the direction of what follows them (CVE-2021-42574); tags, which spell words that nobody sees; the rest is
# left over from files.
_DROPPED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ufeff\U000e0000-\U000e007f]")
_NO_CHARACTER = re.compile(r"[\ufdd0-\ufdef\ufffe\uffff]")
# What has none of these is clean already.
_SPECIAL = re.compile(
    r"[&\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff"
    r"\U000e0000-\U000e007f]"
)
_HIGH = re.compile(r"[\ud800-\udbff]")
_LOW = re.compile(r"[\udc00-\udfff]")
_REFERENCE_PART = re.compile(r"[0-9A-Za-z#]")
_NUMERIC = re.compile(r"#(?:[xX]([0-9a-fA-F]{1,6})|([0-9]{1,7}))")
# The longest name of a character has 31 letters.
_MAX_REFERENCE = 40


class TextCleaner:
    """Takes a text in pieces cut anywhere and gives it back clean. What comes out depends on the whole text alone.

    Halves of a character that belong together are joined, others replaced; control characters are removed; every end of a line is a line
    feed; character references (``&#58;``) become what they stand for, so that nothing can hide in them from whoever reads on.
    """

    def __init__(self) -> None:
        self._half = ""
        self._reference = ""
        self._after_return = False
        self._out: list[str] = []

    def feed(self, piece: str) -> str:
        """What can be said of the text with ``piece`` added."""
        if not (self._half or self._reference or self._after_return or _SPECIAL.search(piece)):
            return piece
        for character in piece:
            self._join(character)
        return self._taken()

    def finish(self) -> str:
        """What was held back. Nothing may be fed after."""
        if self._half:
            self._half = ""
            self._decode(_REPLACEMENT)
        self._out.append(self._reference)
        return self._taken()

    def _taken(self) -> str:
        text = "".join(self._out)
        self._out.clear()
        return text

    def _join(self, character: str) -> None:
        """Halves of characters outside the basic plane come in pairs, possibly in two pieces."""
        half, self._half = self._half, ""
        if half and _LOW.match(character):
            self._mend((half + character).encode("utf-16", "surrogatepass").decode("utf-16"))
            return
        if half:
            self._mend(_REPLACEMENT)
        if _HIGH.match(character):
            self._half = character
        else:
            self._mend(_REPLACEMENT if _LOW.match(character) else character)

    def _mend(self, character: str) -> None:
        after_return, self._after_return = self._after_return, character == "\r"
        if character == "\r" or character in _LINE_ENDS:
            self._decode("\n")
        elif _NO_CHARACTER.match(character):
            self._decode(_REPLACEMENT)
        elif not _DROPPED.match(character) and not (after_return and character == "\n"):
            self._decode(character)

    def _decode(self, character: str) -> None:
        if not self._reference:
            self._open(character)
        elif character == ";":
            name, self._reference = self._reference[1:], ""
            meant = _meant(name)
            if meant is None:
                self._out.append(f"&{name};")
            # A semicolon that was written as a reference must not end another one.
            for each in " ;" if meant == ";" else meant or "":
                self._join(each)
        elif _REFERENCE_PART.match(character) and len(self._reference) < _MAX_REFERENCE:
            self._reference += character
        else:
            self._out.append(self._reference)
            self._reference = ""
            self._open(character)

    def _open(self, character: str) -> None:
        if character == "&":
            self._reference = character
        else:
            self._out.append(character)


def _meant(name: str) -> str | None:
    """What the reference ``&name;`` stands for; None: it is none."""
    number = _NUMERIC.fullmatch(name)
    if number is None:
        return html5.get(f"{name};")
    code = int(number[1], 16) if number[1] else int(number[2])
    is_character = 0 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF  # noqa: PLR2004  # the range of Unicode, without halves
    return chr(code) if is_character else _REPLACEMENT


def clean(text: str) -> str:
    """A whole text, cleaned."""
    cleaner = TextCleaner()
    return cleaner.feed(text) + cleaner.finish()
