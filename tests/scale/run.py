"""Measure the operator at several sizes, each against the same writes without one; what was measured is not run again.

Each size writes its figures to a JSON file as soon as it is done. `--write FILE` puts the table of all of them there,
and the drawings beside it; what was published there before and is not measured again stays.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import uvloop
from scale import report, steps
from scale.measure import rig
from scale.pods import with_pods
from scale.soak import soak

VERIFY_SECONDS = 60
RESULTS = Path(".scale")


async def at(services: int, rest_seconds: int) -> steps.Figures:
    """Every step with so many services."""
    async with rig() as r:
        step = min(services, max(250, services // 10))
        parts: dict[str, Callable[[], Awaitable[steps.Figures]]] = {
            "growth": lambda: steps.growth(r, services, step),
            "latencies": lambda: steps.latencies(r, 200),
            "busy": lambda: steps.busy_service(r, 30),
            "runtime": lambda: steps.edited_runtime(r),
            "rest": lambda: steps.rest(r, services, rest_seconds, VERIFY_SECONDS),
            "restart": lambda: steps.restart(r, services),
            "crashes": lambda: steps.crash_loops(r, steps.names(2, 102), rounds=60, pace=1),
        }
        figures: steps.Figures = {"services": services}
        for name, part in parts.items():
            began = time.perf_counter()
            figures[name] = await part()
            print(f"  {name}: {time.perf_counter() - began:.0f} s", flush=True)
            (RESULTS / f"{services}.part").write_text(json.dumps(figures, indent=1))  # if a later step fails
            if name == "growth" and (lost := await steps.not_ready(r)):
                raise SystemExit(f"{len(lost)} services never became Ready, such as {lost[0]}")
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, nargs="*", default=[1000, 5000, 10000], metavar="N")
    parser.add_argument("--pods", type=int, default=1000, metavar="N", help="services with pods, 0 for none")
    parser.add_argument("--soak", type=int, default=3600, metavar="SECONDS", help="hours of the same work, 0 for none")
    parser.add_argument("--rest", type=int, default=900, metavar="SECONDS", help="how long to watch it rest")
    parser.add_argument("--again", action="store_true", help="measure again what was measured")
    parser.add_argument("--write", type=Path, metavar="FILE", help="page whose table is replaced")
    chosen = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    commit = _commit()
    todo: dict[str, Callable[[], Awaitable[steps.Figures]]] = {
        str(n): lambda n=n: at(n, chosen.rest) for n in chosen.services
    }
    if chosen.pods:
        todo["pods"] = lambda: with_pods(chosen.pods)
    if chosen.soak:
        todo["soak"] = lambda: soak(100, chosen.soak)
    began = time.perf_counter()
    for name, measure in todo.items():
        file = RESULTS / f"{name}.json"
        if file.exists() and not chosen.again:
            print(f"{name}: measured already, see {file}", flush=True)
            continue
        print(f"{name}: measuring, {time.perf_counter() - began:.0f} s after the start", flush=True)
        figures = uvloop.run(measure())
        file.write_text(json.dumps(figures | {"commit": commit, "loop": f"uvloop {uvloop.__version__}"}, indent=1))
    results = {file.stem: json.loads(file.read_text()) for file in RESULTS.glob("*.json")}
    print(report.table(results))
    if chosen.write:
        report.publish(results, chosen.write)
        print(f"Wrote {chosen.write}. Next: git diff {chosen.write.parent}")


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
