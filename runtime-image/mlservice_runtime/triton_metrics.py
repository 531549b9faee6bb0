"""Triton's own metrics (docs/user_guide/metrics.md), from the counts of its statistics; vLLM's stand beside them."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from mlservice_runtime.statistics import Statistics

REASONS = ("BACKEND", "CANCELED", "OTHER", "REJECTED")


def successes(statistics: Statistics) -> float:
    return statistics.success.count


def microseconds(statistics: Statistics) -> float:
    return statistics.success.ns // 1000


def at_once(_: Statistics) -> float:
    return 0


METRICS: tuple[tuple[str, str, Callable[[Statistics], float]], ...] = (
    ("request_success", "Number of successful inference requests", successes),
    ("count", "Number of inferences performed", successes),
    ("exec_count", "Number of model executions performed", successes),
    ("request_duration_us", "Cumulative inference request duration in microseconds", microseconds),
    ("compute_infer_duration_us", "The same: vLLM's own metrics have the parts", microseconds),
    ("compute_input_duration_us", "0: vLLM's own metrics have the parts", at_once),
    ("compute_output_duration_us", "0: vLLM's own metrics have the parts", at_once),
    ("queue_duration_us", "0: requests wait in vLLM, see vllm:request_queue_time_seconds", at_once),
    ("pending_request_count", "0: requests wait in vLLM, see vllm:num_requests_waiting", at_once),
)


class TritonMetrics(Collector):
    """`nv_inference_*` of each model."""

    def __init__(self, statistics: Mapping[str, Statistics]) -> None:
        self.statistics = statistics

    def collect(self) -> Iterator[Metric]:
        for name, text, value in METRICS:
            metric = self.metric(name, text)
            for model, statistics in self.statistics.items():
                metric.add_sample(metric.name, {"model": model, "version": "1"}, value(statistics))
            yield metric
        failures = self.metric("request_failure", "Number of failed inference requests")
        for model, statistics in self.statistics.items():
            for reason in REASONS:
                labels = {"model": model, "version": "1", "reason": reason}
                failures.add_sample(failures.name, labels, statistics.reasons[reason])
        yield failures

    def metric(self, name: str, text: str) -> Metric:
        """Without a type: to the name of a counter the library would add `_total`, which Triton's do not have."""
        return Metric(f"nv_inference_{name}", text, "unknown")
