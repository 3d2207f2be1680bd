"""Takes out of a Markdown text what would reach out of the organisation when it is shown: images, foreign links, HTML."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection

from generator.domain.links import MAX_LINK_CHARACTERS, continues_link, is_comment, link_beginning, trimmed

REMOVED = "…"
_HTML = re.compile(r"[A-Za-z/!?]")
# What makes an address of the word before it; it is held back until it is clear whether it does.
_SIGNS = ":/.\\"
_MAX_SIGNS = 64
_TARGET = re.compile(r"<?([^\s<>]*)>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?")
# A path on the server that shows the text, which is Lectern or an application of the organisation's own.
_LOCAL = re.compile(r"/(?![/\\])[\w.~/%?=#+,@-]*", re.ASCII)
_MARKER = re.compile(r"\[\d+\]\Z")
# What was said last tells the meaning of what follows; schemes have at most 32 characters.
_TAIL_CHARACTERS = 64


class MarkdownSanitiser:
    """Takes a text in pieces cut anywhere and gives it back without force. What comes out depends on the whole text alone.

    - An address stays if it is one of those allowed, otherwise ``…`` takes the place of what stands behind its scheme.
    - ``[words](address)`` stays if the address is allowed or a path of this server, otherwise its words stay in their brackets.
    - An image becomes a link, and is treated like one: it would be fetched without anybody's doing.
    - ``<`` before a tag becomes ``‹``, also in code: where code begins, those who show Markdown do not agree.
    - ``[label]: …`` defines nothing any more.
    """

    def __init__(self, links: Collection[str]) -> None:
        """Allow ``links``, addresses as `links_in` finds them."""
        self.removed = 0
        self._links = links
        self._queue: deque[str] = deque()
        self._signs = ""
        self._link = ""
        self._unsaid = ""
        self._linked = ""
        self._target: str | None = None
        self._sign = ""
        self._after_bracket = False
        self._tail = ""
        self._out: list[str] = []

    def feed(self, piece: str) -> str:
        """What can be said of the text with ``piece`` added."""
        self._queue.extend(piece)
        self._take_queue()
        return self._taken()

    def finish(self) -> str:
        """What was held back. Nothing may be fed after."""
        if self._target is not None:
            self._give_up_target("")
            self._take_queue()
        if self._link:
            self._end_link("")
            self._take_queue()
        self._put(self._sign)
        self._end_signs("")
        return self._taken()

    def _take_queue(self) -> None:
        while self._queue:
            self._take(self._queue.popleft())

    def _taken(self) -> str:
        text = "".join(self._out)
        self._out.clear()
        return text

    def _put(self, text: str) -> None:
        self._out.append(text)
        self._tail = (self._tail + text)[-_TAIL_CHARACTERS:]

    def _take(self, character: str) -> None:
        if self._target is not None:
            self._take_in_target(character)
        elif not self._link:
            self._resolve_sign(character)
            self._take_in_text(character)
        elif not continues_link(character):
            self._queue.appendleft(character)
            self._end_link(character)
        elif len(self._link) <= MAX_LINK_CHARACTERS:
            self._link += character.strip("\\")
            self._unsaid += character

    def _take_in_text(self, character: str) -> None:
        after_bracket, self._after_bracket = self._after_bracket, False
        if after_bracket and character == "(":
            self._target = ""
            return
        if after_bracket and character == ":":
            self._put(" ")
        if character in _SIGNS and len(self._signs) < _MAX_SIGNS:
            self._signs += character
            return
        self._end_signs(character)
        if self._link:
            return
        if character in "!<":
            self._sign = character
        else:
            self._put(character)
            self._after_bracket = character == "]"

    def _end_signs(self, following: str) -> None:
        """An address begins if the word before and the signs are the beginning of one, and something follows."""
        signs, self._signs = self._signs, ""
        is_followed = following.strip() and following not in "[]"
        beginning = link_beginning(self._tail + signs) if signs and is_followed else ""
        if beginning:
            self._link, self._unsaid = beginning + following, signs + following
        else:
            self._put(signs)

    def _resolve_sign(self, following: str) -> None:
        """``!`` and ``<`` mean something by what follows them."""
        sign, self._sign = self._sign, ""
        if sign == "<":
            self._put("‹" if _HTML.match(following) else sign)
        elif sign and following != "[":
            self._put(sign)
        elif sign and self._tail[-1:].strip(" \n("):
            # "Well done![1]" ends a sentence.
            self._put("! ")

    def _end_link(self, following: str) -> None:
        """An address has ended; what follows one that stays is kept from becoming part of it."""
        link, unsaid, target = self._link, self._unsaid, self._linked
        self._link = self._unsaid = self._linked = ""
        bare = trimmed(link)
        is_allowed = bare in self._links
        if target and bare != target:
            # Without the bracket before it, all of this would be one address.
            self._put(") ")
            self._queue.extendleft(reversed(unsaid[1:]))
            return
        if is_allowed or is_comment(link):
            self._put(unsaid)
        else:
            self.removed += 1
            self._put(REMOVED + link[len(bare) :])
        # "!" at its end must not make an image of brackets.
        if following == "[" or (is_allowed and following.strip()):
            self._put(" ")

    def _take_in_target(self, character: str) -> None:
        """Between ``](`` and ``)``."""
        target = self._target or ""
        if character in "[]\n" or len(target) > MAX_LINK_CHARACTERS:
            self._give_up_target(character)
        elif character != ")" or target.count("(") > target.count(")"):
            self._target = target + character
        else:
            self._end_target(target)

    def _give_up_target(self, following: str) -> None:
        """What stands behind ``](`` is text; a space keeps it from being anything else."""
        target, self._target = self._target or "", None
        self._put(" (")
        self._queue.extendleft(reversed(target + following))

    def _end_target(self, target: str) -> None:
        found = _TARGET.fullmatch(target.strip())
        if found is None:
            self._give_up_target(")")
            return
        self._target = None
        is_local = bool(_LOCAL.fullmatch(found[1]))
        is_allowed = is_local or found[1] in self._links
        if not is_allowed or _MARKER.search(self._tail):
            self.removed += not is_allowed
            self._after_bracket = True
        elif is_local:
            self._put(f"({found[1]})")
        else:
            self._put(f"({found[1]}")
            self._link, self._unsaid, self._linked = f"{found[1]})", ")", found[1]


def sanitised(text: str, links: Collection[str]) -> str:
    """A whole text without force; see `MarkdownSanitiser`."""
    sanitiser = MarkdownSanitiser(links)
    return sanitiser.feed(text) + sanitiser.finish()
