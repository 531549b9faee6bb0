"""How often something may be done for one thing: a burst at once, then one each so many seconds."""

import time
from collections import OrderedDict
from collections.abc import Hashable

REMEMBERED = 10_000


class Allowance:
    """A token bucket for each key; keys that were quiet for long are forgotten."""

    def __init__(self, burst: int, seconds: float) -> None:
        self.burst, self.seconds = burst, seconds
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable) -> bool:
        """Whether it may be done now; then it counts as done."""
        tokens = self._tokens(key)
        self._buckets.pop(key, None)
        self._buckets[key] = (tokens - 1 if tokens >= 1 else tokens, time.monotonic())
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
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
