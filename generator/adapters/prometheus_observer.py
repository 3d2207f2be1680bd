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


class PrometheusObserver:
    def in_flight(self, count: int) -> None:
        ANSWERS_IN_FLIGHT.set(count)

    def ended(self, model: str, outcome: str, total_seconds: float) -> None:
        ANSWERS_ENDED.labels(model, outcome).inc()
        ANSWER_SECONDS.labels(model).observe(total_seconds)
