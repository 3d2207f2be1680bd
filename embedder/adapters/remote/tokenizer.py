"""Counts, locates and cuts tokens for a model whose own tokenizer is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from embedder.adapters.transformers.checkpoint import PACKAGED_MODEL, CheckpointError, model_folder
from embedder.domain.back_end import CountedText
from embedder.domain.encoding import Task

_EMPTY_PREFIXES = {Task.QUERY: "", Task.PASSAGE: ""}


class CountingTokenizer:
    """Implements `embedder.domain.encoding.Tokenizer` with a ``tokenizer.json``: the remote model's own, or one that counts about alike."""

    vocabulary_size = 0

    def __init__(self, path: Path | None, prefixes: dict[Task, str], max_length_tokens: int) -> None:
        """Open a tokenizer. Blocking.

        Args:
            path: a ``tokenizer.json``; None for the packaged model's.
            prefixes: put before each text.
            max_length_tokens: texts are cut there, by this tokenizer's count.

        Raises:
            CheckpointError: there is no such file, or it is no tokenizer.
        """
        path = path.expanduser() if path else model_folder(PACKAGED_MODEL) / "tokenizer.json"
        if not path.is_file():
            raise CheckpointError(f"There is no tokenizer {path}. Name a tokenizer.json, or none.")
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing more special
            raise CheckpointError(f"{path} is not a tokenizer.json.") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._prefixes = _EMPTY_PREFIXES | prefixes
        self._max_length_tokens = max_length_tokens

    def tokenize(self, texts: Sequence[str], task: Task) -> list[CountedText]:
        prepared = [self._prefixes[task] + text for text in texts]
        room = self._max_length_tokens - self._tokenizer.num_special_tokens_to_add(is_pair=False)
        counted = []
        for text, encoding in zip(prepared, self._tokenizer.encode_batch(prepared, add_special_tokens=False), strict=True):
            cut = text if len(encoding) <= room else text[: encoding.offsets[room - 1][1]]
            counted.append(CountedText(cut, min(len(encoding), room) + self._max_length_tokens - room))
        return counted

    def locate(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [np.fromiter((start for start, _ in encoding.offsets), dtype=np.uint32, count=len(encoding)) for encoding in encodings]
