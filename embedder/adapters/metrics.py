"""Prometheus figures of queue and batches."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from embedder.domain.batching import DropReason, Lane
from embedder.domain.embedding import Model, ModelState

_QUEUED = Gauge("lectern_embedder_queued_tokens", "Tokens that wait for the model", ["lane"])
_DROPPED = Counter("lectern_embedder_dropped_texts_total", "Texts that never reached the model", ["lane", "reason"])
_WAITED = Histogram(
    "lectern_embedder_queue_seconds",
    "Time that a text waited for the model",
    ["lane"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
_TEXTS = Counter("lectern_embedder_texts_total", "Texts embedded")
_TOKENS = Counter("lectern_embedder_tokens_total", "Tokens embedded, padding not counted")
_SECONDS = Counter("lectern_embedder_inference_seconds_total", "Time that the model ran")
_FILL = Histogram(
    "lectern_embedder_batch_fill_ratio", "Padded tokens of a batch to its budget", buckets=(0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1, 2, 4)
)
_PADDING = Histogram(
    "lectern_embedder_padding_ratio", "Share of a batch's tokens that is padding", buckets=(0, 0.01, 0.03, 0.05, 0.1, 0.2, 0.4, 0.8)
)


_READY = Gauge("lectern_embedder_model_ready", "Whether the model is loaded and serves", ["model"])
_MEMORY = Gauge("lectern_embedder_model_memory_bytes", "What the model holds of its device's memory; 0 when it is not loaded", ["model"])


def observe_model(model: Model) -> None:
    """Say whether a model is loaded, and what it holds."""
    ready = model.state is ModelState.READY
    _READY.labels(model.spec.name).set(ready)
    _MEMORY.labels(model.spec.name).set(model.memory_bytes if ready else 0)


class PrometheusObserver:
    """Turns what a model's batcher tells into metrics."""

    def __init__(self) -> None:
        self._queued = dict.fromkeys(Lane, 0)

    def dropped(self, lane: Lane, reason: DropReason, texts: int = 1) -> None:
        _DROPPED.labels(lane.name.lower(), reason.value).inc(texts)

    def queued(self, lane: Lane, tokens: int) -> None:
        # Each model has a queue, and an observer, of its own; the gauge is what waits for any.
        _QUEUED.labels(lane.name.lower()).inc(tokens - self._queued[lane])
        self._queued[lane] = tokens

    def waited(self, lane: Lane, seconds: float) -> None:
        _WAITED.labels(lane.name.lower()).observe(seconds)

    def batch_encoded(self, *, texts: int, tokens: int, padded_tokens: int, budget_tokens: int, seconds: float) -> None:
        _TEXTS.inc(texts)
        _TOKENS.inc(tokens)
        _SECONDS.inc(seconds)
        _FILL.observe(padded_tokens / budget_tokens)
        _PADDING.observe(1 - tokens / padded_tokens)
