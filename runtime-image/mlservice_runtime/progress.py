"""How far the start of vLLM is, read from what it writes. Lines of vLLM 0.26 to 0.33."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """In the order in which they come; not every start has all of them."""

    STARTING = "starting"
    READING_WEIGHTS = "reading weights"
    COMPILING = "compiling"
    CAPTURING = "capturing"
    WARMING = "warming"
    READY = "ready"
    DRAINING = "draining"


ORDER = list(Phase)
WAITS_FOR = {
    Phase.STARTING: "Python imports and the model's configuration",
    Phase.READING_WEIGHTS: "the volume with the weights",
    Phase.COMPILING: "torch.compile; it is quicker when its cache is on a volume that outlives the pod",
    Phase.CAPTURING: "CUDA graphs",
    Phase.WARMING: "the engine's first steps and the server's routes",
    Phase.READY: "requests",
    Phase.DRAINING: "the requests in flight",
}
SIGNS: tuple[tuple[Phase, re.Pattern[str]], ...] = (
    (Phase.READING_WEIGHTS, re.compile(r"Starting to load model|Loading safetensors checkpoint shards")),
    (
        Phase.COMPILING,
        re.compile(
            r"Loading weights took|Model loading took|for vLLM's torch\.compile|Dynamo bytecode transform time"
            r"|Compiling a graph|Directly load|Warming up model for the compilation"
        ),
    ),
    (Phase.CAPTURING, re.compile(r"Capturing CUDA graphs")),
    (
        Phase.WARMING,
        re.compile(
            r"Graph capturing finished|Warming up done|init engine \(profile|Supported tasks|Starting vLLM server"
        ),
    ),
    (Phase.READY, re.compile(r"Application startup complete")),
)


@dataclass
class Progress:
    """The state of one start. Bytes are those of the weights that are read ahead; `total` is 0 where none are."""

    clock: Callable[[], float] = time.monotonic
    phase: Phase = Phase.STARTING
    total: int = 0
    read: int = 0
    read_seconds: float = 0.0
    last_line: str = ""
    phases: dict[str, float] = field(default_factory=dict)
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()
        self.phases[self.phase] = 0.0

    @property
    def started(self) -> bool:
        """Whether the server has been ready."""
        return ORDER.index(self.phase) >= ORDER.index(Phase.READY)

    def line(self, text: str) -> None:
        """Look at one line of vLLM's output."""
        if not text.strip():
            return
        self.last_line = text.strip()[:300]
        if not self.started:
            for phase, sign in SIGNS:
                if sign.search(text):
                    self.enter(phase)

    def enter(self, phase: Phase) -> None:
        """Begin a phase; an earlier one never comes again."""
        if ORDER.index(phase) > ORDER.index(self.phase):
            self.phase = phase
            self.phases[phase] = round(self.clock() - self.began, 3)

    def state(self) -> dict[str, Any]:
        """What the status port tells: seconds, bytes, bytes a second."""
        return {
            "phase": self.phase,
            "waitsFor": WAITS_FOR[self.phase],
            "seconds": round(self.clock() - self.began, 1),
            "phases": dict(self.phases),
            "weights": {
                "readBytes": self.read,
                "totalBytes": self.total,
                "bytesPerSecond": int(self.read / self.read_seconds) if self.read_seconds else 0,
            },
            "lastLine": self.last_line,
        }

    def text(self) -> str:
        """The same for people: one line."""
        told = f"{self.phase} for {int(self.clock() - self.began - self.phases[self.phase])} s"
        if self.total and not self.started:
            rate = f", {self.read / self.read_seconds / 1e6:.0f} MB/s" if self.read_seconds else ""
            told += f"; {self.read / 1e9:.2f} of {self.total / 1e9:.2f} GB of weights read{rate}"
        return f"{told}; waits for {WAITS_FOR[self.phase]}"
