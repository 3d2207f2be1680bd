"""What an answer says when the passages hold none, in the languages known here."""

from __future__ import annotations

from generator.domain.language import FALLBACK
from generator.domain.terms import fold, words

_REFUSALS = {
    "en": "I could not find this in the documents.",
    "fr": "Je n'ai pas trouvé cette information dans les documents.",
    "de": "Das habe ich in den Dokumenten nicht gefunden.",
    "es": "No he encontrado esta información en los documentos.",
    "it": "Non ho trovato questa informazione nei documenti.",
    "nl": "Ik heb dit niet in de documenten gevonden.",
    "pt": "Não encontrei esta informação nos documentos.",
}
# What models say in their own words instead of the sentence that they were told.
_OTHER_WORDINGS = (
    "I don't know",
    "I do not know",
    "I couldn't find this in the documents",
    "Je ne sais pas",
    "Je n'ai pas trouvé cette information",
)
_BEGINNINGS = tuple(words(fold(text)) for text in (*_REFUSALS.values(), *_OTHER_WORDINGS))


def refusal(language: str) -> str:
    """The sentence that says that the documents do not answer, in ``language``, or in English."""
    return _REFUSALS.get(language, _REFUSALS[FALLBACK])


def is_refusal(text: str) -> bool:
    """Whether ``text`` begins by saying that the documents do not answer."""
    said = words(fold(text[:400]))
    return any(said[: len(beginning)] == beginning for beginning in _BEGINNINGS)
