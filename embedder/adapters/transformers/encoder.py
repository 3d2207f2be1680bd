"""A transformers model that embeds."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel
from transformers.utils import logging as transformers_logging

from embedder.adapters.transformers.checkpoint import Checkpoint, CheckpointError, Pooling
from embedder.domain.encoding import EncoderFailed, EncoderSpec, TokenIds, Vectors


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """One batch in the model's layout.

    Shapes:
        ids, mask: (texts, longest text) int64 on the encoder's device; mask is 1 on tokens and 0 on padding.
    """

    ids: torch.Tensor
    mask: torch.Tensor


class TransformersEncoder:
    """Runs the checkpoint's own weights through transformers; never code that comes with a checkpoint."""

    def __init__(self, checkpoint: Checkpoint, *, device: str, bf16: bool) -> None:
        """Load the weights. Blocking: seconds.

        Args:
            checkpoint: the folder to load.
            device: ``cpu``, ``cuda:0``, …
            bf16: multiply in bfloat16; embeddings, norms and sums stay in float32.

        Raises:
            CheckpointError: the weights do not fit the configuration.
        """
        self._checkpoint = checkpoint
        self._device = torch.device(device)
        self.bf16 = bf16
        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # untyped in transformers
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped in transformers
        try:
            config = AutoConfig.from_pretrained(checkpoint.transformer, local_files_only=True, trust_remote_code=False)
            model, report = AutoModel.from_pretrained(
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
        self._pad_id = int(config.pad_token_id or 0)
        if bf16:
            # Autocast would convert these anew for every batch.
            for module in model.modules():
                if isinstance(module, torch.nn.Linear):
                    module.to(torch.bfloat16)
        self._model = model.eval().to(self._device)

    @property
    def spec(self) -> EncoderSpec:
        return encoder_spec(self._checkpoint)

    def encode_pre(self, batch: Sequence[TokenIds]) -> PaddedBatch:
        longest = max(map(len, batch))
        ids = torch.full((len(batch), longest), self._pad_id, dtype=torch.int64)  # (texts, longest)
        mask = torch.zeros((len(batch), longest), dtype=torch.int64)  # (texts, longest)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        return PaddedBatch(ids.to(self._device), mask.to(self._device))

    def encode_core(self, prepared: PaddedBatch) -> torch.Tensor:
        try:
            with torch.inference_mode(), self._precision():
                tokens = self._model(input_ids=prepared.ids, attention_mask=prepared.mask).last_hidden_state  # (texts, longest, dim)
            with torch.inference_mode():
                vectors = pool(tokens.float(), prepared.mask, self._checkpoint.pooling)  # (texts, dim)
                return torch.nn.functional.normalize(vectors, dim=1) if self._checkpoint.normalise else vectors
        except torch.AcceleratorError as error:
            raise EncoderFailed(str(error)) from error

    def encode_post(self, raw: torch.Tensor) -> Vectors:
        vectors: Vectors = raw.cpu().numpy()
        return vectors

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.bf16:
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()


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
            return tokens[torch.arange(len(tokens), device=tokens.device), mask.sum(dim=1) - 1]
        case Pooling.MAX:
            return tokens.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).max(dim=1).values
        case Pooling.MEAN:
            weights = mask.unsqueeze(-1).float()  # (texts, longest, 1)
            return (tokens * weights).sum(dim=1) / weights.sum(dim=1)


def encoder_spec(checkpoint: Checkpoint) -> EncoderSpec:
    """The description of the encoder that a checkpoint makes."""
    return EncoderSpec(
        name=checkpoint.name,
        revision=checkpoint.revision,
        dimension=checkpoint.dimension,
        max_length_tokens=checkpoint.max_length_tokens,
        normalised=checkpoint.normalise,
    )
