"""Measure what our plugin costs: vLLM with and without it, in pairs, on this machine's CPU.

Two servers run at the same time. Each measurement of the one, as many requests as there are at a time, stands directly
beside one of the other, in turns before and after it: both are asked equally often, and noise of the machine that lasts
longer than a second meets both. The engines have the first half of the processors, the processes that serve HTTP and
the clients the other: else it is the kernel's choice of a core for each of them that is measured.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp
from asking import cpu_seconds, inferred, more, publish, resident, streamed, times
from serving import MODEL, Serving, serving
from tritonclient.grpc import aio

TOKENS = 64
WARM_UP = 5  # pairs
PROMPT = "The most dangerous animal is"
SAMPLING = {"temperature": 0, "max_tokens": TOKENS, "ignore_eos": True}
Ask = Callable[[], Awaitable[float]]


async def completion(session: aiohttp.ClientSession, server: Serving) -> float:
    """A stream of OpenAI's protocol; seconds to its first event."""
    return await streamed(session, f"{server.url}/v1/completions", {"model": MODEL, "prompt": PROMPT, **SAMPLING})


async def generate(session: aiohttp.ClientSession, server: Serving) -> float:
    """A stream of Triton's generate extension."""
    return await streamed(
        session, f"{server.url}/v2/models/{MODEL}/generate_stream", {"text_input": PROMPT, **SAMPLING}
    )


async def infer(client: aio.InferenceServerClient) -> float:
    """A stream of Triton's gRPC protocol."""
    return await inferred(client, MODEL, PROMPT, **{**SAMPLING, "ignore_eos": "true"})


async def tokens_per_second(ask: Ask, concurrency: int) -> float:
    """Output tokens a second of `concurrency` requests that are sent at once."""
    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(concurrency)))
    return concurrency * TOKENS / (time.perf_counter() - began)


async def measure(plain: Serving, ours: Serving, pairs: int) -> list[tuple[str, str, str]]:
    rows = []
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2)) as session,
        aio.InferenceServerClient(ours.grpc) as client,
    ):
        arms: dict[str, Ask] = {
            "OpenAI's `/v1/completions`": lambda: completion(session, ours),
            "Triton's `generate_stream`": lambda: generate(session, ours),
            "Triton's ModelStreamInfer": lambda: infer(client),
        }

        def bare() -> Awaitable[float]:
            return completion(session, plain)

        for concurrency in (1, 16, 64):
            for name, ask in arms.items():
                found: dict[str, list[tuple[float, float]]] = {"with": [], "bare": []}
                for pair in range(pairs + WARM_UP):
                    both = (("with", ours, ask), ("bare", plain, bare))
                    for which, server, asks in both if pair % 2 else reversed(both):
                        before = cpu_seconds(server.process.pid)
                        rate = await tokens_per_second(asks, concurrency)
                        used = (cpu_seconds(server.process.pid) - before) / (concurrency * TOKENS) * 1e6
                        if pair >= WARM_UP:
                            found[which].append((rate, used))
                rows.append((f"{name}, {concurrency} at a time", *compared(found)))
                print(*rows[-1], sep=" | ", flush=True)
        for name, ask in arms.items():
            first: dict[str, list[float]] = {"with": [], "bare": []}
            for pair in range(pairs):
                for which, asks in (("with", ask), ("bare", bare))[:: 1 if pair % 2 else -1]:
                    first[which].append(await asks() * 1000)
            value, base = (f"{statistics.median(first[which]):.1f} ms" for which in ("with", "bare"))
            against = f"bare vLLM: {base}; {more(first['with'], first['bare'], 'ms')}"
            rows.append((f"{name}, time to the first token, p50", value, against))
    rows.append(
        (
            "resident memory of the serving process",
            f"{resident(ours.process.pid):.0f} MB",
            f"bare vLLM: {resident(plain.process.pid):.0f} MB",
        )
    )
    return rows


def compared(found: dict[str, list[tuple[float, float]]]) -> tuple[str, str]:
    """The pairs' rates and CPU times, as they are shown."""
    rates, used = ({which: [one[at] for one in pairs] for which, pairs in found.items()} for at in (0, 1))
    value, base = (
        f"{statistics.median(rates[which]):.0f} tokens/s, {statistics.median(used[which]):.0f} µs of CPU a token"
        for which in ("with", "bare")
    )
    return value, (
        f"bare vLLM: {base}; rate {times(rates['with'], rates['bare'])}, CPU {more(used['with'], used['bare'], 'µs')}"
    )


def apart(*servers: Serving) -> None:
    """Keep engines and workers to the first half of the processors, all else to the second."""
    cpus = sorted(os.sched_getaffinity(0))
    first, second = set(cpus[: len(cpus) // 2]), set(cpus[len(cpus) // 2 :])
    assert first, "one processor is too few for an engine and a server beside each other"
    bind(os.getpid(), second)
    for server in servers:
        bind(server.process.pid, second)
        for child in server.children():
            bind(child, first)


def bind(pid: int, cpus: set[int]) -> None:
    """Bind each thread of a process; those that it starts later inherit that."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cpus)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="page whose table is replaced")
    parser.add_argument("--pairs", type=int, default=100, help="of each protocol and number of requests (default: 100)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plain").mkdir()
        (Path(folder) / "ours").mkdir()
        quiet = ("--disable-uvicorn-access-log", "--max-num-seqs=64")
        with (
            serving(Path(folder) / "plain", *quiet, VLLM_PLUGINS="") as plain,
            serving(Path(folder) / "ours", *quiet) as ours,
        ):
            apart(plain, ours)
            rows = asyncio.run(measure(plain, ours, chosen.pairs))
    publish([("figure", "value", "against"), *rows], "bench-runtime", chosen.write)


if __name__ == "__main__":
    main()
