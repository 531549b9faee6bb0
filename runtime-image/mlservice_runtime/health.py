"""Whether the server lives and is ready. vLLM's /health knows an engine that died, not one that hangs."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from mlservice_runtime.activity import Activity
from mlservice_runtime.engine_metrics import iterations, unfinished

PROBE_SECONDS = 2.0


class Engine(Protocol):
    """The part of vllm.engine.protocol.EngineClient that is used here."""

    @property
    def errored(self) -> bool: ...

    async def is_sleeping(self) -> bool: ...


@dataclass
class Health:
    """`stuck_seconds`: how long requests may wait while the engine makes no step; 0 never gives up on it."""

    activity: Activity
    stuck_seconds: float
    engine: Engine | None = None
    serving: bool = False
    draining: bool = False
    steps: float | None = None
    stepped_at: float = 0.0

    async def live(self) -> bool:
        """False when only a restart helps: the engine is dead, or requests wait and it makes no progress."""
        if self.engine is None:
            return True
        return not self.engine.errored and not await self.stuck(self.engine)

    async def ready(self) -> bool:
        """Whether requests should be sent here."""
        return self.serving and not self.draining and await self.live()

    async def stuck(self, engine: Engine) -> bool:
        """Whether requests have waited for `stuck_seconds` in which the engine has not made a single step.

        A busy engine steps. Requests whose client is slow do not count as waiting. Before the verdict the engine itself
        is asked: one that sleeps, or that answers and has nothing to do, is not stuck.
        """
        now = self.activity.clock()
        steps = iterations()
        if steps != self.steps:
            self.steps, self.stepped_at = steps, now
        if not self.stuck_seconds or self.activity.longest_wait() < self.stuck_seconds:
            return False
        if steps is not None and now - self.stepped_at < self.stuck_seconds:
            return False
        try:
            sleeping = await asyncio.wait_for(engine.is_sleeping(), PROBE_SECONDS)
        except TimeoutError:
            return True
        return not sleeping and unfinished() > 0
