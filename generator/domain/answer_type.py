"""What kind of thing a question asks for, and whether a sentence has one."""

from __future__ import annotations

import re
from enum import Enum

from generator.domain.terms import fold

_MONTHS = (
    "january|february|march|april|may|june|july|august|september|october|november|december|"
    "janvier|fevrier|mars|avril|mai|juin|juillet|aout|septembre|octobre|novembre|decembre"
)
_DAYS = (
    "monday|tuesday|wednesday|thursday|friday|saturday|sunday|noon|midnight|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|midi|minuit"
)
_NUMERALS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|hundred|thousand|half|once|twice|"
    "deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|quinze|vingt|trente|quarante|cinquante|soixante|cent|mille|moitie|"
    "zwei|drei|vier|funf|sechs|sieben|acht|neun|zehn|dos|tres|cuatro|cinco|siete|ocho|nueve|diez"
)
_MEASURES = "price|cost|percentage|rate|limit|maximum|minimum|amount|number|weight|mass|range|fee|size|power|speed|budget|most|least"
_FRENCH_MEASURES = "prix|tarif|montant|pourcentage|taux|limite|nombre|poids|plage|indemnite|temperature|vitesse|debit|part"
_PERIODS = (
    r"seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?|min|s|h|secondes?|heures?|jours?|nuits?|semaines?|mois|ans?|annees?|"
    r"sekunden?|minuten?|stunden?|tagen?|wochen?|monaten?|jahren?|dias?|semanas?|mes|meses|anos?"
)

_ASKS_DURATION = (
    r"\bhow long\b|\bwhat (?:\w+ ){0,3}(?:duration|period|lead time)\b|\bcombien de temps\b"
    r"|\bquel(?:le)?s? (?:\w+ ){0,2}(?:duree|delai|periode)s?\b|\bwie lange\b|\bcuanto tiempo\b|\bhoe lang\b"
)
_ASKS_QUANTITY = (
    r"\bhow (?:far|old|big|large|heavy|fast|high|wide|deep|tall|many|much)\b|\bcombien\b"
    rf"|\b(?:what|which) (?:\w+ ){{0,3}}(?:{_MEASURES})\b|\bquel(?:le)?s? (?:\w+ ){{0,2}}(?:{_FRENCH_MEASURES})\b"
    r"|\bwie ?viele?\b|\bcuant[oa]s?\b|\bquant[oaie]s?\b|\bhoeveel\b"
)
_ASKS_TIME = (
    r"^when\b|\bwhen (?:is|are|was|were|do|does|did|will|must|can|should)\b|\b(?:what|which) (?:date|day|time|year|month)\b"
    r"|\bquand\b|\bquel(?:le)?s? (?:date|jour|heure|annee|mois)s?\b|\bwann\b|\bcuando\b|\bwanneer\b"
)
_ASKS_PERSON = r"^who(?:se|m)?\b|\b(?:to|by|with|from) whom\b|^(?:a |de |par |avec )?qui\b|^wer\b|^quien\b|^wie is\b"
_TIME = rf"\b(?:{_MONTHS}|{_DAYS})\b|\b(?:19|20)\d\d\b|\b\d{{1,2}}(?::\d\d|[ \u00a0\u202f]?h(?:eures?)?\b| ?[ap]\.?m\b)|\b(?:{_PERIODS})\b"


class AnswerType(Enum):
    """A kind of answer that can be told by its form: how a question asks for it, how a sentence has it, and whether it must have it.

    Where it must, a sentence without it cannot be an answer: "How long is the warranty?" is not answered without a time.
    """

    DURATION = (_ASKS_DURATION, rf"\b(?:{_PERIODS})\b", True)
    QUANTITY = (_ASKS_QUANTITY, rf"\d|\b(?:{_NUMERALS})\b", True)
    # "When must I declare gifts?" is answered by a condition.
    TIME = (_ASKS_TIME, _TIME, False)
    # A role answers as well as a name.
    PERSON = (_ASKS_PERSON, r"\b[A-Z][\w'’-]+ [A-Z][\w'’-]+", False)

    def __init__(self, question: str, sentence: str, required: bool) -> None:
        self._question = re.compile(question)
        self._sentence = re.compile(sentence)
        self.required = required

    def stands_in(self, sentence: str) -> bool:
        # A name is told by its capitals, which folding takes away.
        return bool(self._sentence.search(sentence if self is AnswerType.PERSON else fold(sentence)))

    def is_asked_by(self, question: str) -> bool:
        return bool(self._question.search(fold(question).strip()))


def asked_type(question: str) -> AnswerType | None:
    """The kind of answer that ``question`` asks for, the narrowest if it asks for several; None when its form doesn't tell."""
    return next((kind for kind in AnswerType if kind.is_asked_by(question)), None)
