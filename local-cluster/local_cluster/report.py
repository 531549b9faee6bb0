"""What a command tells its user: progress with the elapsed time, and failures that say what to do next."""

import time
from pathlib import Path


class Failure(Exception):
    """Something the user has to act on: what is wrong and where, then what to do about it."""

    def __init__(self, problem: str, todo: str = "") -> None:
        super().__init__(f"{problem}\n  {todo}" if todo else problem)
        self.problem = problem
        self.todo = todo


class Stopwatch:
    """Prints lines that begin with the seconds since it was made."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the stopwatch was made."""
        return time.monotonic() - self.started

    def say(self, text: str) -> None:
        """Print one progress line."""
        print(f"[{self.elapsed:6.1f} s] {text}", flush=True)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log file, indented; a line saying so when there is none."""
    if not path.exists():
        return f"    ({path} does not exist)"
    text = path.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in text) or f"    ({path} is empty)"
