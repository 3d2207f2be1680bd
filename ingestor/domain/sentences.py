"""Where sentences begin, in English and French, and in scripts that end them with full-width stops.

Rules rather than a model: a stop ends a sentence unless what follows goes on in lower case, or what stands before it is an
abbreviation, an initial, or the number of a list item. A stop inside a number or a name ("3.14", "example.org") has no space after
it and is never looked at. One pass, linear in the length of the text.
"""

import re

# A run of stops matches from its first character only: without the look-behind a megabyte of dots would take hours.
# French sets a (narrow no-break) space before the closing guillemet.
_STOP = re.compile(r"""[.!?…](?<![.!?…][.!?…])[.!?…]*+(?:[^\S\n]?»)?["'”’)\]]*+\s++""")
# Full-width stops need no space after them.
_FULL_WIDTH_STOP = re.compile(r"""[。！？](?<![。！？][。！？])[。！？]*+["'”’」』）]*+\s*+""")
_LONGEST_ABBREVIATION = 24
_OPENING = "\"'«“‘([{*_"

_TITLES = "mr mrs ms dr prof sr jr st ste mme mmes mlle mlles mgr me gen col capt cpt lt sgt rev hon gov sen rep pres messrs"
_WORDS = "vs cf ca approx env ex al viz resp incl excl av apr boul bd tél tel réf ref éd ed dép dept univ int ext par"
_NUMBERED = "no nos art arts fig figs p pp vol ch chap sec sect par para eq tab n nr num al"
_MONTHS = "jan feb mar apr jun jul aug sep sept oct nov dec janv févr avr juil déc"
# The numbered ones shorten a word only before a number: "No. 5", but "He said no. They left."
_BEFORE_A_NUMBER = frozenset(_NUMBERED.split())
_ABBREVIATIONS = frozenset(f"{_TITLES} {_WORDS} {_MONTHS}".split())
# "l'art. 5"
_ELISION = re.compile(r".*['’]")
# "J", "U.S", "i.e", "J.-C": letters with stops between them.
_INITIALS = re.compile(r"(?:[^\W\d_]\.-?)*[^\W\d_]")


def sentence_starts(text: str) -> list[int]:
    """Return the offsets at which sentences after the first begin, in order; none lies on whitespace."""
    starts = [match.end() for match in _STOP.finditer(text) if match.end() < len(text) and _ends_sentence(text, *match.span())]
    wide = [match.end() for match in _FULL_WIDTH_STOP.finditer(text) if match.end() < len(text)]
    return sorted({*starts, *wide}) if wide else starts


def _ends_sentence(text: str, stop: int, following: int) -> bool:
    if text[following].islower():
        return False
    if text[stop] != "." or text[stop + 1] in ".!?…":
        return True
    before = text[max(0, stop - _LONGEST_ABBREVIATION) : stop]
    words = before.split()
    if not words or before[-1].isspace():
        return True
    word = _ELISION.sub("", words[-1].lstrip(_OPENING))
    if word.isdigit():
        return not _opens_line(text, stop - len(words[-1]))
    if _INITIALS.fullmatch(word):
        return False
    lower = word.lower()
    return not (lower in _ABBREVIATIONS or (lower in _BEFORE_A_NUMBER and text[following].isdigit()))


def _opens_line(text: str, offset: int) -> bool:
    """Tell whether only blanks (or a heading's hashes) stand between the start of the line and ``offset``."""
    line = text[max(0, offset - _LONGEST_ABBREVIATION) : offset]
    return not line.rpartition("\n")[2].strip(" \t#>") and (offset < _LONGEST_ABBREVIATION or "\n" in line)
