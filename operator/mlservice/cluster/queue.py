"""The work queue: a key is never handled twice at once and never queued twice (client-go's semantics)."""

import asyncio
import random
from collections import Counter, deque

from mlservice.cluster.metrics import QUEUE_DEPTH
from mlservice.cluster.store import Key

FIRST_SECONDS = 0.005
LAST_SECONDS = 60.0


class WorkQueue:
    """Keys to handle, those of a user's own change before those of a fan-out.

    Of a fan-out's, at most `patient` are handled at the same time: their requests, too, keep others waiting.
    """

    def __init__(self, patient: int = 4) -> None:
        self.patient = patient
        self._urgent: deque[Key] = deque()
        self._patient: deque[Key] = deque()
        self._queued: dict[Key, bool] = {}
        self._busy: dict[Key, bool] = {}
        self._failures: Counter[Key] = Counter()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._arrived = asyncio.Event()

    def add(self, key: Key, urgent: bool = True) -> None:
        """Ask for the key to be handled; while it is being handled, once more afterwards."""
        if self._queued.get(key, False) or (key in self._queued and not urgent):
            return
        self._queued[key] = urgent
        if key not in self._busy:
            self._enqueue(key, urgent)

    def read(self, key: Key) -> None:
        """The key's handler is about to look at everything: what has rung until now it will see, and not once more."""
        if key in self._busy:
            self._queued.pop(key, None)

    def add_after(self, key: Key, seconds: float) -> None:
        """Ask for the key later; of several such wishes the earliest holds."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer and timer.when() <= loop.time() + seconds:
            return
        if timer:
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    def retry(self, key: Key) -> float:
        """Ask for the key again after a jittered delay that doubles with each failure; return the delay in seconds."""
        delay: float = min(FIRST_SECONDS * 2 ** min(self._failures[key], 20), LAST_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311
        self._failures[key] += 1
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """The key succeeded: its next failure starts with the shortest delay again."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Wait for a key. Everything else on the event loop gets its turn first: a service with nothing to write is
        handled without waiting for anything, and ten thousand of them one after the other would keep the Lease and
        the probes waiting for ten seconds.
        """
        await asyncio.sleep(0)
        while True:
            for waiting in (self._urgent, self._patient):
                while waiting and (waiting is self._urgent or list(self._busy.values()).count(False) < self.patient):
                    key = waiting.popleft()
                    if key in self._queued and key not in self._busy:
                        self._busy[key] = self._queued.pop(key)
                        QUEUE_DEPTH.set(len(self._queued))
                        return key
            self._arrived.clear()
            await self._arrived.wait()

    def done(self, key: Key) -> None:
        self._busy.pop(key, None)
        if key in self._queued:
            self._enqueue(key, self._queued[key])
        if self._patient:
            self._arrived.set()

    @property
    def idle(self) -> bool:
        return not self._queued and not self._busy

    def _enqueue(self, key: Key, urgent: bool) -> None:
        # A key raised from patient to urgent stands in both deques; the second one found is no longer queued.
        (self._urgent if urgent else self._patient).append(key)
        QUEUE_DEPTH.set(len(self._queued))
        self._arrived.set()

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)
