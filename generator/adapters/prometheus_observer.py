"""How answers go, as Prometheus metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ANSWERS_IN_FLIGHT = Gauge("lectern_generator_answers_in_flight", "Answers being written now")
ANSWERS_ENDED = Counter("lectern_generator_answers_ended_total", "Answers that ended, by outcome", ["model", "outcome"])
ANSWER_SECONDS = Histogram(
    "lectern_generator_answer_seconds",
    "Time from a question's admission to the end of its answer",
    ["model"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
MODEL_REQUESTS_IN_FLIGHT = Gauge("lectern_generator_model_requests_in_flight", "Texts that a model writes or that wait for it", ["model"])
MODEL_REQUESTS_ENDED = Counter("lectern_generator_model_requests_ended_total", "Texts that ended, by outcome", ["model", "outcome"])
MODEL_TOKENS = Counter("lectern_generator_model_tokens_total", "Tokens in a model's own counting", ["model", "kind"])
MODEL_FIRST_TEXT_SECONDS = Histogram(
    "lectern_generator_model_first_text_seconds",
    "Time from a request to the model's first text",
    ["model"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


class PrometheusModelObserver:
    """A `ModelObserver` whose metrics are labelled with ``model``."""

    def __init__(self, model: str) -> None:
        self._model = model

    def started(self) -> None:
        MODEL_REQUESTS_IN_FLIGHT.labels(self._model).inc()

    def began(self, seconds: float) -> None:
        MODEL_FIRST_TEXT_SECONDS.labels(self._model).observe(seconds)

    def ended(self, outcome: str, prompt_tokens: int, answer_tokens: int) -> None:
        MODEL_REQUESTS_IN_FLIGHT.labels(self._model).dec()
        MODEL_REQUESTS_ENDED.labels(self._model, outcome).inc()
        MODEL_TOKENS.labels(self._model, "prompt").inc(prompt_tokens)
        MODEL_TOKENS.labels(self._model, "answer").inc(answer_tokens)


class PrometheusObserver:
    def in_flight(self, count: int) -> None:
        ANSWERS_IN_FLIGHT.set(count)

    def ended(self, model: str, outcome: str, total_seconds: float) -> None:
        ANSWERS_ENDED.labels(model, outcome).inc()
        ANSWER_SECONDS.labels(model).observe(total_seconds)
