"""The network of a sentence-transformers folder: the transformer, its pooling and its normalisation as one module."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel
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
        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # untyped in transformers
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped in transformers
        try:
            config = AutoConfig.from_pretrained(checkpoint.transformer, local_files_only=True, trust_remote_code=False)
            transformer, report = AutoModel.from_pretrained(
                checkpoint.transformer,
                config=config,
                dtype=torch.float32,
                attn_implementation="sdpa",
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise CheckpointError(f"{checkpoint.transformer} cannot be loaded: {error}") from error
        # The library would fill these with random numbers. The pooler is a head that no sentence vector passes through.
        if missing := sorted(name for name in report["missing_keys"] if not name.startswith("pooler.")):
            raise CheckpointError(f"{checkpoint.transformer} lacks weights: {', '.join(missing[:5])}.")
        self.transformer = transformer
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
