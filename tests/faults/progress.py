"""A run of hours says how far it is, and goes on where it was broken off, as long as the commit is the same."""

import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".faults"


class Progress:
    """Writes down what has passed, and leaves that out the next time; a run without a failure begins anew."""

    def __init__(self) -> None:
        FOLDER.mkdir(exist_ok=True)
        self.record, self.began, self.left, self.broken = FOLDER / f"passed-{commit()}", time.monotonic(), 0, set[str]()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        passed = set(self.record.read_text().splitlines()) if self.record.exists() else set()
        again = [item for item in items if item.nodeid in passed]
        config.hook.pytest_deselected(items=again)
        items[:] = [item for item in items if item.nodeid not in passed]
        self.left = len(items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.broken.add(report.nodeid)
            print(f"\n{report.longreprtext}", flush=True)  # pytest would tell it at the end, in hours
        if report.when != "teardown":
            return
        self.left -= 1
        if report.nodeid not in self.broken:
            with self.record.open("a") as record:
                print(report.nodeid, file=record)
        print(f"\n{(time.monotonic() - self.began) / 60:.1f} minutes, {self.left} tests to go", flush=True)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.left == 0 and not self.broken:
            self.record.unlink(missing_ok=True)


def commit() -> str:
    """The commit that is tried."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
