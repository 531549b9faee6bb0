"""vLLM's own metrics, read inside the process: what the engine does is known there and nowhere else."""

from collections.abc import Iterator

from prometheus_client import REGISTRY

STEPS = "vllm:iteration_tokens_total_count"
REQUESTS = ("vllm:num_requests_running", "vllm:num_requests_waiting")


def iterations() -> float | None:
    """How many steps all engines have made; None with --disable-log-stats, which turns the metrics off."""
    found = list(samples(STEPS))
    return sum(found) if found else None


def unfinished() -> float:
    """How many requests the engines run or hold in their queues, as of their last step."""
    return sum(value for name in REQUESTS for value in samples(name))


def samples(name: str) -> Iterator[float]:
    """The values of one metric, without collecting the others."""
    for metric in REGISTRY.restricted_registry([name]).collect():
        for sample in metric.samples:
            if sample.name == name:
                yield sample.value
