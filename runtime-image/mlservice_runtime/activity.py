"""What is being done for clients right now: how many requests are in flight, and which of them wait for the engine."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Activity:
    """Counts requests of all ports and protocols. All of it happens on one event loop."""

    clock: Callable[[], float] = time.monotonic
    in_flight: int = 0
    waiting: dict[object, float] = field(default_factory=dict)

    @contextmanager
    def request(self) -> Iterator[None]:
        """A request, from its first byte to the last of its response."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def wait(self, token: object) -> None:
        """This request waits for the engine from now on: its body is complete, its client reads what it is sent."""
        self.waiting.setdefault(token, self.clock())

    def stop_waiting(self, token: object) -> None:
        """This request waits for its client, or is over."""
        self.waiting.pop(token, None)

    def longest_wait(self) -> float:
        """For how many seconds the oldest of the waiting requests has waited; 0 when there is none."""
        return self.clock() - min(self.waiting.values(), default=self.clock())
