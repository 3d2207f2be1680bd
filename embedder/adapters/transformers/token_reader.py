"""A model's tokenizer, opened for a closer look."""

from __future__ import annotations

from collections.abc import Sequence

import tokenizers

from embedder.adapters.transformers.checkpoint import Checkpoint
from embedder.domain.encoding import Task, TokenIds
from embedder.domain.text_inference import Token


class FastTokenReader:
    """`embedder.domain.text_inference.TokenReader` over the checkpoint's ``tokenizer.json``."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._prefixes = checkpoint.prefixes
        self._lower_case = checkpoint.lower_case
        self._tokenizer = tokenizers.Tokenizer.from_file(str(checkpoint.transformer / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def ids(self, text: str, task: Task, *, window: int, keep_end: bool) -> tuple[TokenIds, int]:
        encoding = self._tokenizer.encode(self._prepared(text, task), add_special_tokens=False)
        special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        length = len(encoding) + special
        if length > window:
            encoding.truncate(window - special, direction="left" if keep_end else "right")
        return self._tokenizer.post_process(encoding).ids, length

    def tokens(self, text: str, task: Task | None, *, special_tokens: bool) -> list[Token]:
        prepared = self._prepared(text, task)
        encoding = self._tokenizer.encode(prepared, add_special_tokens=special_tokens)
        pieces = zip(encoding.ids, encoding.tokens, encoding.offsets, map(bool, encoding.special_tokens_mask), strict=True)
        return [
            Token(token_id, name, None) if special else Token(token_id, prepared[slice(*span)], span)
            for token_id, name, span, special in pieces
        ]

    def text(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def _prepared(self, text: str, task: Task | None) -> str:
        return ("" if task is None else self._prefixes[task]) + (text.lower() if self._lower_case else text)
