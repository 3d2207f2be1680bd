"""The network of a sentence-transformers folder: the transformer, its pooling and its normalisation as one module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from embedder.adapters.transformers.checkpoint import Checkpoint, CheckpointError, Pooling


class SentenceNetwork(torch.nn.Module):
    """Token ids in, one vector a text out."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Load the checkpoint's own weights through transformers; never code that comes with a checkpoint. Blocking: seconds.

        Raises:
            CheckpointError: the weights do not fit the configuration.
        """
        super().__init__()
        self._pooling = checkpoint.pooling
        self._normalise = checkpoint.normalise
        # The pooler is a head that no sentence vector passes through.
        self.transformer = load_weights(AutoModel, checkpoint.transformer, may_lack="pooler.")
        self.eval()

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Embed a padded batch.

        Shapes:
            ids, mask: (texts, longest) int64; mask is 1 on tokens, padding on the right.
            returns: (texts, dim) float32.
        """
        tokens = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state  # (texts, longest, dim)
        vectors = pool(tokens.float(), mask, self._pooling)  # (texts, dim)
        return torch.nn.functional.normalize(vectors, dim=1) if self._normalise else vectors


def load_weights(kind: type[AutoModel | AutoModelForSequenceClassification], folder: Path, *, may_lack: str = "") -> Any:
    """Read a folder's weights in float32; never code that comes with it. Blocking: seconds.

    Args:
        kind: what to make of the folder.
        folder: configuration and safetensors.
        may_lack: weights whose names begin so may be missing.

    Raises:
        CheckpointError: the weights do not fit the configuration, or lack some: the library would fill those with random numbers.
    """
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # untyped in transformers
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped in transformers
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        loaded, report = kind.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation="sdpa",
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{folder} cannot be loaded: {error}") from error
    if missing := sorted(name for name in report["missing_keys"] if not (may_lack and name.startswith(may_lack))):
        raise CheckpointError(f"{folder} lacks weights: {', '.join(missing[:5])}.")
    return loaded


def keep_in_bf16(network: torch.nn.Module) -> None:
    """Convert the weights of all multiplications, which autocast would do anew for every batch."""
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            module.to(torch.bfloat16)


def pool(tokens: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Make one vector of each text's token vectors.

    Shapes:
        tokens: (texts, longest, dim) float32.
        mask: (texts, longest), 1 on tokens, padding on the right.
        returns: (texts, dim) float32.
    """
    match pooling:
        case Pooling.CLS:
            return tokens[:, 0]
        case Pooling.LAST_TOKEN:
            last = (mask.sum(dim=1) - 1).view(-1, 1, 1).expand(-1, 1, tokens.shape[-1])  # (texts, 1, dim)
            return tokens.gather(1, last).squeeze(1)
        case Pooling.MAX:
            return tokens.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).max(dim=1).values
        case Pooling.MEAN:
            weights = mask.unsqueeze(-1).float()  # (texts, longest, 1)
            return (tokens * weights).sum(dim=1) / weights.sum(dim=1)
