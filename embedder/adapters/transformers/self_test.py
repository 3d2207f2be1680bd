"""Proof that a loaded model makes usable vectors: sentences whose relations are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from embedder.domain.encoding import Encoder, EncoderSpec, Task, Tokenizer, Vectors

# Padding must not change a vector beyond rounding.
_LEAST_COSINE_OF_PADDED = 0.999
_LENGTH_TOLERANCE = 1e-3
# Between the cosines of a paraphrase and of another subject; more than rounding makes.
_LEAST_DIFFERENCE = 1e-5
# The first two say the same, the third something else; the others differ in length, so that a batch of all has padding.
_SENTENCES = (
    "The invoice must be paid within thirty days of delivery.",
    "The invoice has to be paid within thirty days after the delivery.",
    "Photosynthesis lets green plants turn sunlight into sugar.",
    "Rule.",
    "When the pump stops, close the valve, wait for the pressure to fall below two bar, and only then open the housing.",
)


class SelfTestError(Exception):
    """The model's vectors cannot be trusted; the text says what was found."""


def run_self_test(encoder: Encoder[Any, Any], tokenizer: Tokenizer) -> Vectors:
    """Embed the sentences together and one by one, and refuse the model when they do not relate as they must.

    Shapes:
        returns: (sentences, dimension).

    Raises:
        SelfTestError: the model must not serve.
    """
    tokens = tokenizer.tokenize(_SENTENCES, Task.PASSAGE)
    together = encoder.encode_post(encoder.encode_core(encoder.encode_pre(tokens)))
    _check_each(encoder.spec, together)
    alone = np.concatenate([encoder.encode_post(encoder.encode_core(encoder.encode_pre([each]))) for each in tokens])
    _check_relations(encoder.spec, together, alone)
    return together


def cosines(left: Vectors, right: Vectors) -> Vectors:
    """Row-wise cosine.

    Shapes:
        left, right: (rows, dimension).
        returns: (rows,).
    """
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    row_wise: Vectors = (left * right).sum(axis=1) / lengths
    return row_wise


def _check_each(spec: EncoderSpec, vectors: Vectors) -> None:
    if vectors.shape != (len(_SENTENCES), spec.dimension):
        raise SelfTestError(f"{spec.name} made vectors of shape {vectors.shape}, not of {spec.dimension} elements.")
    if not np.isfinite(vectors).all():
        raise SelfTestError(f"{spec.name} made vectors that are not finite.")
    lengths = np.linalg.norm(vectors, axis=1)
    if (lengths == 0).any() or (spec.normalised and np.abs(lengths - 1).max() > _LENGTH_TOLERANCE):
        raise SelfTestError(f"{spec.name} made vectors of length {lengths.min():.3f} to {lengths.max():.3f}.")


def _check_relations(spec: EncoderSpec, together: Vectors, alone: Vectors) -> None:
    if (least := cosines(together, alone).min()) < _LEAST_COSINE_OF_PADDED:
        raise SelfTestError(
            f"{spec.name} embeds a text differently beside longer ones (cosine {least:.4f}): padding leaks into its vectors."
        )
    alike, unlike = cosines(together[:1], together[1:2])[0], cosines(together[:1], together[2:3])[0]
    if alike - unlike < _LEAST_DIFFERENCE:
        message = f"{spec.name} finds a paraphrase (cosine {alike:.3f}) no closer than another subject ({unlike:.3f}): wrong pooling?"
        raise SelfTestError(message)
