"""Counters of one model, in the shape of Triton's statistics extension (docs/protocol/extension_statistics.md)."""

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Duration:
    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns


@dataclass
class Statistics:
    """Durations are those of whole requests; what they wait for inside vLLM is told by vLLM's own metrics."""

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    last_inference: int = 0

    def succeeded(self, ns: int) -> None:
        self.success.add(ns)
        self.last_inference = time.time_ns() // 1_000_000

    def failed(self, ns: int) -> None:
        self.fail.add(ns)

    def document(self, name: str) -> dict[str, Any]:
        """One entry of `model_stats`; `last_inference` in milliseconds since 1970."""
        success = vars(self.success)
        unused = ("queue", "compute_input", "compute_output", "cache_hit", "cache_miss")
        return {
            "name": name,
            "version": "1",
            "last_inference": self.last_inference,
            "inference_count": self.success.count,
            "execution_count": self.success.count,
            "inference_stats": {
                "success": success,
                "fail": vars(self.fail),
                "compute_infer": success,
                **{part: vars(Duration()) for part in unused},
            },
            "response_stats": {},
            "batch_stats": [],
            "memory_usage": [],
        }
