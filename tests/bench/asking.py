"""What the benches of the runtime share: streams of each protocol, and figures of a process and of pairs."""

import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "triton-vllm"))

import aiohttp
from triton_client import request
from tritonclient.grpc import aio

# Two-sided 95 % quantile of Student's t by degrees of freedom (n - 1 pairs).
T95 = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 9: 2.262, 14: 2.145, 19: 2.093, 29: 2.045}


async def streamed(session: aiohttp.ClientSession, url: str, body: dict[str, object]) -> float:
    """A stream over HTTP, read to its end; seconds to its first event."""
    began, first = time.perf_counter(), 0.0
    async with session.post(url, json={**body, "stream": True}) as answer:
        async for _ in answer.content:
            first = first or time.perf_counter() - began
    assert answer.status == 200
    return first


async def inferred(client: aio.InferenceServerClient, model: str, prompt: str, **sampling: Any) -> float:
    """A stream of Triton's gRPC protocol, read to its end; seconds to its first response."""
    began, first = time.perf_counter(), 0.0

    async def one() -> object:
        yield request(model, prompt, "1", stream=True, **sampling)

    async for _, error in client.stream_infer(one()):
        assert error is None
        first = first or time.perf_counter() - began
    return first


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, which other work on the machine hardly stretches: its clock, as clock_getcpuclockid(3)."""
    return time.clock_gettime(~pid << 3 | 2)


def resident(pid: int) -> float:
    """Resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024 / 1e6


def ratio(values: list[float], against: list[float]) -> str:
    """Geometric mean of the pairs' ratios and its 95 % interval."""
    logs = [math.log(value / base) for value, base in zip(values, against, strict=True)]
    half = T95[len(logs) - 1] * statistics.stdev(logs) / math.sqrt(len(logs))
    mean = statistics.fmean(logs)
    return f"{math.exp(mean):.3f} ({math.exp(mean - half):.3f} to {math.exp(mean + half):.3f})"


def more(values: list[float], against: list[float], unit: str) -> str:
    """The median of the pairs' differences and its 95 % interval."""
    middle, low, high = median([value - base for value, base in zip(values, against, strict=True)])
    return f"{middle:+.1f} {unit} ({low:+.1f} to {high:+.1f})"


def times(values: list[float], against: list[float]) -> str:
    """The median of the pairs' ratios and its 95 % interval."""
    middle, low, high = median([value / base for value, base in zip(values, against, strict=True)])
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def median(values: list[float]) -> tuple[float, float, float]:
    """The median and its 95 % interval, by ranks: whatever the distribution is."""
    found = sorted(values)
    ways, rank = 1, 0  # in which at most `rank` of the values are below the true median, of 2 ** len(found)
    while 40 * ways <= 2 ** len(found):  # 2.5 %
        rank += 1
        ways += math.comb(len(found), rank)
    at = max(0, rank - 1)
    return statistics.median(found), found[at], found[-1 - at]


def publish(rows: list[tuple[str, ...]], mark: str, page: Path | None) -> None:
    """Print a table of figures; in `page` it replaces the one between the marks of that name."""
    table = "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ("---",) * len(rows[0]), *rows[1:]))
    print(f"\n{table}\n")
    if page:
        begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
        before, _, rest = page.read_text().partition(begin)
        page.write_text(f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}")
