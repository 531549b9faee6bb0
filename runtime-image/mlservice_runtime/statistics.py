"""Counters of one model, in the shape of Triton's statistics extension (docs/protocol/extension_statistics.md)."""

import time
from collections import Counter
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
    reasons: Counter[str] = field(default_factory=Counter)
    """Why requests failed: BACKEND, CANCELED or REJECTED, as Triton's metrics have it."""
    last_inference: int = 0

    def succeeded(self, ns: int) -> None:
        self.success.add(ns)
        self.last_inference = time.time_ns() // 1_000_000

    def failed(self, ns: int, reason: str) -> None:
        self.fail.add(ns)
        self.reasons[reason] += 1

    def document(self, name: str) -> dict[str, Any]:
        """One entry of `model_stats`; `last_inference` in milliseconds since 1970."""
        success, never = vars(self.success), vars(Duration())
        at_once = {"count": self.success.count, "ns": 0}
        compute = {"compute_input": at_once, "compute_infer": success, "compute_output": at_once}
        return {
            "name": name,
            "version": "1",
            "last_inference": self.last_inference,
            "inference_count": self.success.count,
            "execution_count": self.success.count,
            "inference_stats": {
                "success": success,
                "fail": vars(self.fail),
                "queue": at_once,
                **compute,
                "cache_hit": never,
                "cache_miss": never,
            },
            "response_stats": {},
            "batch_stats": [{"batch_size": 1, **compute}] if self.success.count else [],
            "memory_usage": [],
        }
