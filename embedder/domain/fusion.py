"""One ranking of two: by meaning and by words.

Source: Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", ACM TOIS 2023: a convex combination of normalised
scores keeps how much better one hit is than the next, which rank fusion throws away, and needs no tuning per collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# The dense arm's weight.
ALPHA = 0.5


@dataclass(frozen=True, slots=True)
class FusedScore:
    """One passage's place in the common ranking.

    Attributes:
        fused: between 0 and 1; comparable within one query only.
        dense: cosine similarity.
        lexical: BM25; 0 when no term is shared.
    """

    passage_id: str
    fused: float
    dense: float
    lexical: float


def fuse(dense: Mapping[str, float] | None, lexical: Mapping[str, float] | None) -> list[FusedScore]:
    """Rank passages by both scores, each divided by the query's best; best first.

    Both mappings hold true scores: a passage missing from one of them scores 0 there, so complete them first for what an arm did not list.
    None stands for an arm that did not run; the other one then decides alone. Negative cosines count as 0. Equal scores are ordered by the
    dense score, then by passage id, so that a search repeated gives the same order.
    """
    alpha = 0.0 if dense is None else 1.0 if lexical is None else ALPHA
    dense, lexical = dense or {}, lexical or {}
    best_dense, best_lexical = max(dense.values(), default=0.0), max(lexical.values(), default=0.0)
    scores = ((passage_id, dense.get(passage_id, 0.0), lexical.get(passage_id, 0.0)) for passage_id in dense.keys() | lexical.keys())
    fused = [
        FusedScore(passage_id, alpha * _share(cosine, best_dense) + (1 - alpha) * _share(bm25, best_lexical), cosine, bm25)
        for passage_id, cosine, bm25 in scores
    ]
    return sorted(fused, key=lambda hit: (-hit.fused, -hit.dense, hit.passage_id))


def _share(score: float, best: float) -> float:
    return max(score, 0.0) / best if best > 0 else 0.0
