"""The model's own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tokenizers
from numpy.typing import NDArray

from embedder.adapters.transformers.checkpoint import Checkpoint, CheckpointError
from embedder.domain.encoding import Task, TokenIds


class FastTokenizer:
    """Tokenises with the checkpoint's ``tokenizer.json``, on several cores and without Python's lock."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        path = checkpoint.transformer / "tokenizer.json"
        if not path.exists():
            raise CheckpointError(f"{path} is missing: only fast tokenizers are supported.")
        self._prefixes = checkpoint.prefixes
        self._lower_case = checkpoint.lower_case
        self._vocabulary_size = checkpoint.vocabulary_size
        self._encoding = tokenizers.Tokenizer.from_file(str(path))
        self._encoding.no_padding()
        self._encoding.enable_truncation(checkpoint.max_length_tokens)
        self._locating = tokenizers.Tokenizer.from_file(str(path))
        self._locating.no_padding()
        self._locating.no_truncation()

    @property
    def vocabulary_size(self) -> int:
        return self._vocabulary_size

    def tokenize(self, texts: Sequence[str], task: Task) -> list[TokenIds]:
        prefix = self._prefixes[task]
        prepared = [prefix + (text.lower() if self._lower_case else text) for text in texts]
        return [encoding.ids for encoding in self._encoding.encode_batch_fast(prepared)]

    def locate(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        encodings = self._locating.encode_batch(list(texts), add_special_tokens=False)
        return [np.fromiter((start for start, _ in encoding.offsets), dtype=np.uint32, count=len(encoding)) for encoding in encodings]
