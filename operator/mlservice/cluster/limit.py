"""How often something may be done for one thing: a burst at once, then one each so many seconds."""

import time
from collections.abc import Hashable

from cachetools import TTLCache

REMEMBERED = 10_000


class Allowance:
    """A token bucket for each key; one that is full again, which is as none, is forgotten."""

    def __init__(self, burst: int, seconds: float) -> None:
        self.burst, self.seconds = burst, seconds
        self._buckets: TTLCache[Hashable, tuple[float, float]] = TTLCache(REMEMBERED, burst * seconds, time.monotonic)

    def take(self, key: Hashable) -> bool:
        """Whether it may be done now; then it counts as done."""
        tokens = self._tokens(key)
        self._buckets[key] = (tokens - 1 if tokens >= 1 else tokens, time.monotonic())
        return tokens >= 1

    def left(self, key: Hashable) -> bool:
        """Whether it may be done now."""
        return self._tokens(key) >= 1

    def forget(self, key: Hashable) -> None:
        self._buckets.pop(key, None)

    def _tokens(self, key: Hashable) -> float:
        now = time.monotonic()
        tokens, since = self._buckets.get(key, (float(self.burst), now))
        return min(float(self.burst), tokens + (now - since) / self.seconds)
