"""Where addresses begin and end in a text, by the rules of those who make links of them (CommonMark, GFM, linkify)."""

from __future__ import annotations

import re

MAX_LINK_CHARACTERS = 2048
_SCHEME = r"[a-z][a-z0-9+.-]{0,30}://"
_BARE = r"(?<![a-z0-9])(?:www\.|(?:mailto|xmpp):)"
# "//host" is an address too; it must have a dot, for "//" also begins comments.
_OPENED = r"(?<![^\s(\[<\"'])"
_RELATIVE = rf"{_OPENED}//(?=[a-z0-9-]+\.[a-z0-9])"
_TAIL = r"(?:[^\W_]|[-._~:/?#@!$&'()*+,;=%])"
_LINK = re.compile(rf"(?:{_SCHEME}|{_BARE}|{_RELATIVE}){_TAIL}+", re.IGNORECASE)
_BEGINNING = re.compile(rf"(?:{_SCHEME}|{_BARE}|{_OPENED}//)[:/.]*$", re.IGNORECASE)
_LINK_CHARACTER = re.compile(rf"{_TAIL}|\\")
_TRAILING = "?!.,:;*_~'&"


def links_in(text: str) -> frozenset[str]:
    """The addresses that stand in ``text``, without the punctuation after them."""
    return frozenset(trimmed(found) for found in _LINK.findall(text.replace("\\", "")) if len(found) <= MAX_LINK_CHARACTERS)


def link_beginning(text: str) -> str:
    """The beginning of an address with which ``text`` ends, such as ``https://`` or ``www.``; empty when it ends otherwise.

    Backslashes count for nothing, as they do where Markdown is read.
    """
    found = _BEGINNING.search(text.replace("\\", ""))
    return found[0] if found else ""


def continues_link(character: str) -> bool:
    return bool(_LINK_CHARACTER.match(character))


def is_comment(link: str) -> bool:
    """Whether what begins with ``//`` neither is an address nor has one in it."""
    return link.startswith("//") and not _LINK.search(link)


def trimmed(link: str) -> str:
    """``link`` without trailing punctuation and closing brackets that it did not open."""
    end = len(link)
    while end:
        if (link[end - 1] == ")" and link.count(")", 0, end) > link.count("(", 0, end)) or link[end - 1] in _TRAILING:
            end -= 1
        else:
            break
    return link[:end]
