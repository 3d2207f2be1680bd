"""Detects the language of a text."""

import re
from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

# Probability below which a guess is not worth telling: one sentence reaches about 0.4, a list of numbers or code stays under 0.3.
_SURE = 0.35
_SAMPLES = 4
_SAMPLE_CHARS = 1_000
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
# Longer ones are rare languages, which short texts are mistaken for, and "no linguistic content".
_CODE_LENGTH = 2


def detect_language(text: str) -> str:
    """Return the ISO 639-1 code of the language that most of the text is in; empty when unsure.

    Looks at the words of a few stretches spread over the text, so the cost does not grow with its length.
    """
    words = " ".join(_WORD.findall(sample(text)))
    if not words:
        return ""
    language, probability = load_model().classify(words)
    return str(language) if probability >= _SURE and len(language) == _CODE_LENGTH else ""


def sample(text: str) -> str:
    """Return the part of a text that its language is told from: the whole of a short one, else stretches from all over it."""
    if len(text) <= _SAMPLES * _SAMPLE_CHARS:
        return text
    step = len(text) // _SAMPLES
    return " ".join(text[start : start + _SAMPLE_CHARS] for start in range(0, _SAMPLES * step, step))


@cache
def load_model() -> LanguageIdentifier:
    """Load the model once: half a second, 130 MB at the peak, and a temporary file on the way."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
