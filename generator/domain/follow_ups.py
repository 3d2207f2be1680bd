"""Questions that lean on the conversation before them, told and completed by their words alone. No language model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from generator.domain.language import detect_language, function_words
from generator.domain.language_model import Message, Role
from generator.domain.terms import fold, words

# Further back than this a conversation has moved on.
_QUESTIONS_BACK = 3
_MAX_ADDED_WORDS = 12
# "When does the company pay it?" leans; "If a laptop is stolen, who replaces it?" says itself what it speaks of.
_WORDS_BEFORE_OBJECT = 3
_WORDS_BEFORE_SUBJECT = 2
# "For interns?" leans; "In which building is the workshop?" does not.
_FRAGMENT_WORDS = 4


@dataclass(frozen=True, slots=True)
class _Leaning:
    """How questions of one language lean: all in lower case.

    Attributes:
        openings: what a question begins with that goes on from another.
        fragments: what a question of few words begins with that only adds a case to another.
        subjects: pronouns that a noun with its determiner, or enough words before them in the same question, explain.
        objects: pronouns that only several words before them explain.
        determiners: what stands before a noun.
        impersonal: uses of those pronouns that stand for nothing.
    """

    openings: re.Pattern[str]
    fragments: frozenset[str]
    subjects: frozenset[str]
    objects: frozenset[str]
    determiners: frozenset[str] = frozenset()
    impersonal: re.Pattern[str] | None = None


def _leaning(openings: str, fragments: str, subjects: str, objects: str, *, determiners: str = "", impersonal: str = "") -> _Leaning:
    return _Leaning(
        re.compile(rf"(?:{openings})\b"),
        frozenset(fragments.split()),
        frozenset(subjects.split()),
        frozenset(objects.split()),
        frozenset(determiners.split()),
        re.compile(impersonal) if impersonal else None,
    )


# Matched against a question's words joined by single spaces.
_LANGUAGES = {
    "en": _leaning(
        "and|or|but|also|then|otherwise|(?:and )?(?:what|how) about|(?:what|who|where|anything|anyone) else|same",
        "for in at on with without to from during after before under over",
        "he she they his her their its hers theirs",
        "it him them this that these those one ones both former latter such",
        determiners="a an the my our your each every any",
        impersonal=r"\bit (?:be )?(?:possible|allowed|permitted|necessary|required|mandatory|legal|safe|ok|true|enough)\b"
        r"|\bit (?:takes?|costs?) (?:\w+ ){0,3}to \w+"
        r"|\b(?:this|that|these|those|both|such) (?:year|month|week|day|kinds?|types?|sorts?)\b"
        # "The form that I need": not a pronoun that points back.
        r"|\b(?!(?:is|was|do|does|did|can|could|must|should|will|about|of|for|with|in|to|on|by|if|from|after|before|than)\b)\w+ that \w+",
    ),
    "fr": _leaning(
        r"et|ou(?! (?:est|sont|se|puis|peut|peux|dois|doit|faut|en)\b)|mais|sinon|alors|donc|aussi|quid|pareil|qu en est il|quoi d autre",
        "pour à a au aux en dans chez avec sans pendant après avant sous sur de du des",
        "il elle ils elles son sa ses leur leurs",
        "ce cet cette ces cela ça celui celle ceux celles ceci lui eux y dedans",
        determiners="un une le la les l mon ma mes notre nos votre vos chaque tout toute du des au aux",
        impersonal=r"\b(?:il|t il|est il) (?:y a|faut|s agit|est (?:possible|permis|interdit|obligatoire|nécessaire))\b"
        r"|\b(?:faut|y a t|s agit|est) il\b(?: (?:possible|permis|interdit|obligatoire|nécessaire))?|\best ce (?:que|qu)\b|\bc est\b"
        r"|\bce (?:que|qu|qui|dont)\b|\b(?:cette|ce|cet|ces) (?:année|mois|semaine|jour|type|genre|sorte)s?\b",
    ),
    "de": _leaning(
        "und|oder|aber|sonst|was ist mit|wie ist es mit",
        "für in im bei mit ohne nach vor während",
        "er sein seine",
        "es ihn ihm ihnen diese diesen dieser dazu davon damit",
    ),
    "es": _leaning("y|e|o|pero|qué tal", "para en con sin después antes", "él ella ellos ellas su sus", "eso esto esos esa ese ello"),
    "it": _leaning("e|o|ma|invece", "per in con senza dopo prima", "lui lei loro suo sua suoi", "questo questi quello ciò esso essa"),
    "nl": _leaning("en|of|maar|hoe zit het met|wat met", "voor in bij met zonder na", "hij zij hun zijn haar", "dit deze daarvan ervan"),
    "pt": _leaning("e|ou|mas", "para em com sem depois antes", "ele ela eles elas seu sua seus suas", "isso isto esse essa aquilo"),
}  # fmt: skip


def leans(question: str, language: str) -> bool:
    """Whether ``question`` says too little by itself: nothing of a subject, or a pronoun or an opening that points before it."""
    spoken = words(question)
    if not content_words(question, language):
        return True
    known = _LANGUAGES.get(language)
    if known is None:
        return False
    joined = " ".join(spoken)
    if known.openings.match(joined) or (len(spoken) <= _FRAGMENT_WORDS and spoken[0] in known.fragments):
        return True
    remaining = known.impersonal.sub(" ", joined) if known.impersonal else joined
    return any(_pointing_back(remaining.split(), known, function_words(language)))


def _pointing_back(spoken: Sequence[str], known: _Leaning, ignored: frozenset[str]) -> Iterator[bool]:
    """For each pronoun, whether what it stands for is not in the question."""
    said = 0
    has_noun = False
    for position, word in enumerate(spoken):
        if word in known.objects:
            yield said < _WORDS_BEFORE_OBJECT
        elif word in known.subjects:
            yield not has_noun and said < _WORDS_BEFORE_SUBJECT
        elif fold(word) not in ignored:
            said += 1
            has_noun |= position > 0 and spoken[position - 1] in known.determiners


def completed(question: str, history: Sequence[Message], language: str, max_characters: int) -> str:
    """``question`` followed by what the questions before it were about, if it leans on them; else ``question`` itself."""
    if not leans(question, language):
        return question
    own = set(content_words(question, language))
    before = [word for word in _subject(history) if word not in own]
    text = question.strip()
    for count in range(min(len(before), _MAX_ADDED_WORDS), 0, -1):
        extended = f"{text} ({' '.join(before[:count])})"
        if len(extended) <= max_characters:
            return extended
    return question


def content_words(text: str, language: str) -> list[str]:
    """The words of ``text`` that say something of its subject, in lower case and each once."""
    ignored = function_words(language)
    return [word for word in dict.fromkeys(words(text)) if fold(word) not in ignored]


def _subject(history: Sequence[Message]) -> list[str]:
    """What the last questions were about: back to the newest one that stands by itself, and that one's words first."""
    about: list[list[str]] = []
    asked = [message.text for message in history if message.role is Role.USER]
    for text in reversed(asked[-_QUESTIONS_BACK:]):
        language = detect_language(text)
        about.insert(0, content_words(text, language))
        if not leans(text, language):
            break
    return list(dict.fromkeys(word for found in about for word in found))
