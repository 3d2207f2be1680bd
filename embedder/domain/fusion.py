"""One ranking of two: by meaning and by words.

Source: Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", ACM TOIS 2023: a convex combination of normalised
scores keeps how much better one hit is than the next, which rank fusion throws away.

The paper weighs the arms alike for every query. Two things that are known about each query say how far to trust them: when even the best
match lacks most of the query's words, words tell little; when the model's tokenizer cuts the query's words to pieces (another language, a
part number), the model was not trained on them and meaning tells little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Tokens a word beyond which a query is as foreign to the model as it can be.
_MOST_TOKENS_A_WORD = 3.0


@dataclass(frozen=True, slots=True)
class FusedScore:
    """One passage's place in the common ranking.

    Attributes:
        dense: cosine similarity.
        lexical: BM25; 0 when no term is shared.
        dense_share, lexical_share: what each of them adds to the fused score.
    """

    passage_id: str
    dense: float
    lexical: float
    dense_share: float
    lexical_share: float

    @property
    def fused(self) -> float:
        """Between 0 and 1; comparable within one query only."""
        return self.dense_share + self.lexical_share


def dense_weight(*, coverage: float, tokens_a_word: float) -> float:
    """The dense arm's weight for one query, between 0 and 1; the lexical arm has the rest.

    Both weigh alike when the best lexical match has every word of the query and each word is one token of the model.

    Args:
        coverage: share of the query's words that its best lexical match contains.
        tokens_a_word: the model's tokens for the query, divided by its words.
    """
    foreign = min(max(tokens_a_word, 1.0), _MOST_TOKENS_A_WORD)
    return 1 / (1 + coverage * foreign)


def fuse(dense: Mapping[str, float] | None, lexical: Mapping[str, float] | None, *, alpha: float) -> list[FusedScore]:
    """Rank passages by both scores, each divided by the query's best; best first.

    Both mappings hold true scores: a passage missing from one of them scores 0 there, so complete them first for what an arm did not list.
    Negative cosines count as 0. Equal scores are ordered by the dense score, then by passage id, so that a search repeated gives the same
    order.

    Args:
        dense: cosine similarity by passage id; None when the arm did not run, and the other one decides alone.
        lexical: BM25 by passage id, or None likewise.
        alpha: the dense arm's weight, see `dense_weight`.
    """
    alpha = 0.0 if dense is None else 1.0 if lexical is None else alpha
    dense, lexical = dense or {}, lexical or {}
    best_dense, best_lexical = max(dense.values(), default=0.0), max(lexical.values(), default=0.0)
    scores = ((passage_id, dense.get(passage_id, 0.0), lexical.get(passage_id, 0.0)) for passage_id in dense.keys() | lexical.keys())
    fused = [
        FusedScore(passage_id, cosine, bm25, alpha * _share(cosine, best_dense), (1 - alpha) * _share(bm25, best_lexical))
        for passage_id, cosine, bm25 in scores
    ]
    return sorted(fused, key=lambda hit: (-hit.fused, -hit.dense, hit.passage_id))


def _share(score: float, best: float) -> float:
    return max(score, 0.0) / best if best > 0 else 0.0
