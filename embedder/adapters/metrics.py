"""Prometheus figures of queue and batches."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from embedder.domain.batching import DropReason, Lane

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


class PrometheusObserver:
    """Turns what the batcher tells into metrics."""

    def dropped(self, lane: Lane, reason: DropReason, texts: int = 1) -> None:
        _DROPPED.labels(lane.name.lower(), reason.value).inc(texts)

    def queued(self, lane: Lane, tokens: int) -> None:
        _QUEUED.labels(lane.name.lower()).set(tokens)

    def waited(self, lane: Lane, seconds: float) -> None:
        _WAITED.labels(lane.name.lower()).observe(seconds)

    def batch_encoded(self, *, texts: int, tokens: int, padded_tokens: int, budget_tokens: int, seconds: float) -> None:
        _TEXTS.inc(texts)
        _TOKENS.inc(tokens)
        _SECONDS.inc(seconds)
        _FILL.observe(padded_tokens / budget_tokens)
        _PADDING.observe(1 - tokens / padded_tokens)
