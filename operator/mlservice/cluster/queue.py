"""The work queue: a key is never handled twice at once and never queued twice (client-go's semantics)."""

import asyncio
import random
from collections import Counter, deque
from enum import IntEnum

from mlservice.cluster.metrics import QUEUE_DEPTH
from mlservice.cluster.store import Key

FIRST_SECONDS = 0.005
LAST_SECONDS = 60.0


SHARE = 4
"""Of so many keys, one is not of the first turn while others wait."""


class Turn(IntEnum):
    """Whose turn comes before whose."""

    FIRST = 0
    """Clients can be served now, or not any more, and nobody has been told."""
    USUAL = 1
    """A user's own change, and what happens to children."""
    FAN_OUT = 2
    """One thing changed for many, or nothing did and all is verified."""


class WorkQueue:
    """Keys to handle, in their turns; of one turn, first come first served.

    In a burst of new services the first are told to be ready while the last are being made, and not after them. Of a
    fan-out's keys, at most `fan_out` are handled at the same time: their requests, too, keep others waiting.
    """

    def __init__(self, fan_out: int = 4) -> None:
        self.fan_out = fan_out
        self._waiting: dict[Turn, deque[Key]] = {turn: deque() for turn in Turn}
        self._queued: dict[Key, Turn] = {}
        self._busy: dict[Key, Turn] = {}
        self._handed_out = 0
        self._failures: Counter[Key] = Counter()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._arrived = asyncio.Event()

    def add(self, key: Key, turn: Turn = Turn.USUAL) -> None:
        """Ask for the key to be handled; while it is being handled, once more afterwards. The earlier turn holds."""
        if self._queued.get(key, len(Turn)) <= turn:
            return
        self._queued[key] = turn
        if key not in self._busy:
            self._enqueue(key, turn)

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
            for turn in self._order():
                waiting = self._waiting[turn]
                while waiting and (turn != Turn.FAN_OUT or self._fanned_out() < self.fan_out):
                    key = waiting.popleft()
                    if self._queued.get(key) == turn and key not in self._busy:
                        self._busy[key] = self._queued.pop(key)
                        self._handed_out += 1
                        QUEUE_DEPTH.set(len(self._queued))
                        return key
            self._arrived.clear()
            await self._arrived.wait()

    def done(self, key: Key) -> None:
        self._busy.pop(key, None)
        if key in self._queued:
            self._enqueue(key, self._queued[key])
        if self._waiting[Turn.FAN_OUT]:
            self._arrived.set()

    @property
    def idle(self) -> bool:
        return not self._queued and not self._busy

    def _order(self) -> list[Turn]:
        if self._handed_out % SHARE == SHARE - 1:
            return [Turn.USUAL, Turn.FIRST, Turn.FAN_OUT]
        return list(Turn)

    def _fanned_out(self) -> int:
        return list(self._busy.values()).count(Turn.FAN_OUT)

    def _enqueue(self, key: Key, turn: Turn) -> None:
        # A key whose turn became an earlier one stands there too; where its former turn finds it, it is not of it.
        self._waiting[turn].append(key)
        QUEUE_DEPTH.set(len(self._queued))
        self._arrived.set()

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)
