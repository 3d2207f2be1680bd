"""An encoder over a compiled OpenVINO model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import openvino
from numpy.typing import NDArray

from embedder.domain.encoding import EncoderSpec, TokenIds, Vectors


@dataclass(frozen=True, slots=True)
class PaddedArrays:
    """One batch in the model's layout.

    Shapes:
        ids, mask: (texts, longest text) int64; mask is 1 on tokens and 0 on padding.
    """

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]


class OpenVINOEncoder:
    """Runs one batch for each thread that calls it, up to the streams that the model was compiled for; further threads wait."""

    def __init__(self, spec: EncoderSpec, model: openvino.CompiledModel, *, pad_id: int) -> None:
        self._spec = spec
        self._model = model
        self._pad_id = pad_id
        self._of_thread = threading.local()

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def encode_pre(self, batch: Sequence[TokenIds]) -> PaddedArrays:
        longest = max(map(len, batch))
        ids = np.full((len(batch), longest), self._pad_id, dtype=np.int64)  # (texts, longest)
        mask = np.zeros((len(batch), longest), dtype=np.int64)  # (texts, longest)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return PaddedArrays(ids, mask)

    def encode_core(self, prepared: PaddedArrays) -> Vectors:
        outputs = self._request().infer({0: prepared.ids, 1: prepared.mask}, share_inputs=True)
        vectors: Vectors = outputs[0]  # (texts, dim)
        return vectors

    def encode_post(self, raw: Vectors) -> Vectors:
        return raw

    def _request(self) -> openvino.InferRequest:
        """This thread's own request: a request runs one batch at a time."""
        request = getattr(self._of_thread, "request", None)
        if request is None:
            request = self._of_thread.request = self._model.create_infer_request()
        return request
