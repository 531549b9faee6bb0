"""Measure what our plugin costs: vLLM with and without it, in turns, on this machine's CPU.

Two servers run at the same time and are asked one after the other, so that noise of the machine meets all of them.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp
from asking import T95, cpu_seconds, inferred, publish, ratio, resident, streamed
from serving import MODEL, Serving, serving
from tritonclient.grpc import aio

TOKENS = 64
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


async def tokens_per_second(ask: Ask, concurrency: int, count: int) -> float:
    """Output tokens a second of `count` requests, `concurrency` at a time."""
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await ask()

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return count * TOKENS / (time.perf_counter() - began)


async def measure(plain: Serving, ours: Serving, pairs: int, count: int) -> list[tuple[str, str, str]]:
    rows = []
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2)) as session,
        aio.InferenceServerClient(ours.grpc) as client,
    ):
        arms: dict[str, Ask] = {
            "bare": lambda: completion(session, plain),
            "OpenAI's `/v1/completions`": lambda: completion(session, ours),
            "Triton's `generate_stream`": lambda: generate(session, ours),
            "Triton's ModelStreamInfer": lambda: infer(client),
        }
        for concurrency in (1, 16, 64):
            some = count if concurrency > 1 else count // 8
            found: dict[str, list[float]] = {name: [] for name in arms}
            used = dict.fromkeys(arms, 0.0)
            for pair in range(pairs):
                order = list(arms.items())
                for name, ask in order if pair % 2 == 0 else reversed(order):
                    server = plain if name == "bare" else ours
                    # The server that was not asked last has cold caches.
                    await tokens_per_second(ask, concurrency, max(4, concurrency))
                    before = cpu_seconds(server.process.pid)
                    found[name].append(await tokens_per_second(ask, concurrency, some))
                    used[name] += cpu_seconds(server.process.pid) - before
            cost = {name: seconds / (pairs * some * TOKENS) * 1e6 for name, seconds in used.items()}
            bare = found.pop("bare")
            for name, values in found.items():
                value = f"{statistics.median(values):.0f} tokens/s, {cost[name]:.0f} µs of CPU a token"
                base = f"{statistics.median(bare):.0f} tokens/s, {cost['bare']:.0f} µs"
                rows.append((f"{name}, {concurrency} at a time", value, f"bare vLLM: {base}; {ratio(values, bare)}"))
                print(*rows[-1], sep=" | ", flush=True)
        first = {name: [] for name in arms}
        for _ in range(pairs * 5):
            for name, ask in arms.items():
                first[name].append(await ask() * 1000)
        bare_first = statistics.median(first.pop("bare"))
        for name, values in first.items():
            against = f"bare vLLM: {bare_first:.1f} ms"
            rows.append((f"{name}, time to the first token, p50", f"{statistics.median(values):.1f} ms", against))
    rows.append(
        (
            "resident memory of the serving process",
            f"{resident(ours.process.pid):.0f} MB",
            f"bare vLLM: {resident(plain.process.pid):.0f} MB",
        )
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="page whose table is replaced")
    parser.add_argument("--pairs", type=int, default=10, choices=[n + 1 for n in T95])
    parser.add_argument("--requests", type=int, default=128, help="requests of each measurement (default: 128)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plain").mkdir()
        (Path(folder) / "ours").mkdir()
        quiet = ("--disable-uvicorn-access-log", "--max-num-seqs=64")
        with (
            serving(Path(folder) / "plain", *quiet, VLLM_PLUGINS="") as plain,
            serving(Path(folder) / "ours", *quiet) as ours,
        ):
            rows = asyncio.run(measure(plain, ours, chosen.pairs, chosen.requests))
    publish([("figure", "value", "against"), *rows], "bench-runtime", chosen.write)


if __name__ == "__main__":
    main()
