"""What a cross-encoder's folder says about itself, and its tokenizer for pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from embedder.adapters.transformers.checkpoint import CheckpointError, digest, model_folder, positive_number, read_json, window
from embedder.domain.encoding import EncoderSpec
from embedder.domain.reranking import TokenPair


@dataclass(frozen=True, slots=True)
class RerankerCheckpoint:
    """A folder with a sequence classifier of one label, understood.

    Attributes:
        pad_id: token that fills short rows of a batch.
        tells_apart: whether the model is told which tokens are the query's and which the text's (BERT's token types).
        revision: SHA-256 over every file that shapes scores.
    """

    name: str
    folder: Path
    max_length_tokens: int
    pad_id: int
    tells_apart: bool
    revision: str

    @property
    def spec(self) -> EncoderSpec:
        """The description of every encoder of this checkpoint; its rows have one element, the logit."""
        return EncoderSpec(self.name, self.revision, dimension=1, max_length_tokens=self.max_length_tokens, normalised=False)


def read_reranker_checkpoint(model: str, *, name: str = "") -> RerankerCheckpoint:
    """Understand a folder that transformers' ``AutoModelForSequenceClassification`` loads. Blocking: hashes the weights.

    Args:
        model: its path.
        name: what requests call the model; empty for the folder's own name.

    Raises:
        CheckpointError: the folder is no sequence classifier, or one with several labels.
    """
    folder = model_folder(model)
    config = read_json(folder / "config.json")
    if not any(str(each).endswith("ForSequenceClassification") for each in config.get("architectures") or ()):
        raise CheckpointError(f"{folder / 'config.json'} names no sequence classifier: this is not a reranker.")
    # Two labels is what transformers means by a configuration without any.
    labels = len(config["id2label"]) if config.get("id2label") else int(config.get("num_labels", 2))
    if labels != 1:
        raise CheckpointError(f"{folder / 'config.json'} has {labels} labels; a reranker has one.")
    positive_number(config, "vocab_size", folder)
    return RerankerCheckpoint(
        name=name or folder.name,
        folder=folder,
        max_length_tokens=window(folder, config, {}),
        pad_id=int(config.get("pad_token_id") or 0),
        tells_apart=int(config.get("type_vocab_size") or 0) > 1,
        revision=digest(folder),
    )


class FastPairTokenizer:
    """Tokenises a query beside each text with the folder's ``tokenizer.json``, on several cores and without Python's lock."""

    def __init__(self, checkpoint: RerankerCheckpoint) -> None:
        path = checkpoint.folder / "tokenizer.json"
        if not path.exists():
            raise CheckpointError(f"{path} is missing: only fast tokenizers are supported.")
        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        # Cuts the longer of both, as transformers does.
        self._tokenizer.enable_truncation(checkpoint.max_length_tokens)

    def tokenize_pairs(self, query: str, texts: Sequence[str]) -> list[TokenPair]:
        encodings = self._tokenizer.encode_batch_fast([(query, text) for text in texts])
        return [TokenPair(encoding.ids, encoding.type_ids) for encoding in encodings]
