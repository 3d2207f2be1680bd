"""Texts for the benchmarks: prose of the judged sets, cut and mixed anew, the same in every run."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

_JUDGED = Path(__file__).parent / "judged" / "english"
_SENTENCE_END = re.compile(r"(?<=[.!?]) ")


def passages(count: int, *, sentences: tuple[int, int] = (1, 12), seed: int = 0) -> list[str]:
    """Passages of mixed lengths, 10 to 300 tokens unless told otherwise.

    Args:
        count: how many.
        sentences: fewest and most sentences of one passage.
        seed: another gives other passages.
    """
    known = [sentence for text in _field("corpus.jsonl", "text") for sentence in _SENTENCE_END.split(text)]
    chance = random.Random(seed)
    return [" ".join(chance.choices(known, k=chance.randint(*sentences))) for _ in range(count)]


def queries(count: int) -> list[str]:
    """Short questions and keywords, repeated when there are fewer than ``count``."""
    known = _field("queries.jsonl", "text")
    return [known[number % len(known)] for number in range(count)]


def _field(file: str, name: str) -> list[str]:
    return [json.loads(line)[name] for line in (_JUDGED / file).read_text(encoding="utf-8").splitlines()]
