"""Measure and check the runtime on a GPU: vLLM with and without our plugin, side by side on one card.

Python has to have vLLM (0.26 or newer) and our wheel: `pip install -r requirements/runtime.lock ./runtime-image`.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import random
import statistics
import string
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import aiohttp
from asking import T95, cpu_seconds, inferred, more, publish, ratio, resident, streamed
from gpu_checks import checks, drained
from gpu_server import MODEL, SHAPES, Server, servers, write_model
from tritonclient.grpc import aio

INPUT, OUTPUT = 512, 128
LEVELS = {1: 4, 16: 48, 64: 192}  # requests at a time: requests of one measurement
FIRSTS = 1000  # requests of each protocol whose time to the first token is compared
CLIENTS = 8  # processes that ask, so that the clients are not what is measured
SAMPLING = {"temperature": 0, "max_tokens": OUTPUT, "ignore_eos": True}
OPENAI, STREAM, UNARY, GRPC = "OpenAI's `/v1/completions`", "`generate_stream`", "`generate`", "ModelStreamInfer"
Found = dict[tuple[str, int, str], list[float]]


async def one(
    protocol: str,
    url: str,
    prompt: str,
    session: aiohttp.ClientSession,
    client: aio.InferenceServerClient,
    **sampling: Any,
) -> float:
    """Ask once; seconds to the first event."""
    if protocol == OPENAI:
        return await streamed(session, f"{url}/v1/completions", {"model": MODEL, "prompt": prompt, **sampling})
    if protocol == STREAM:
        return await streamed(session, f"{url}/v2/models/{MODEL}/generate_stream", {"text_input": prompt, **sampling})
    if protocol == GRPC:
        return await inferred(client, MODEL, prompt, **{**sampling, "ignore_eos": "true"})
    began = time.perf_counter()
    async with session.post(f"{url}/v2/models/{MODEL}/generate", json={"text_input": prompt, **sampling}) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()
    return time.perf_counter() - began


async def asked(protocol: str, url: str, grpc: str, prompts: list[str], at_a_time: int) -> list[float]:
    """Ask all prompts of one client process; seconds to the first event of each."""
    left, found = iter(prompts), []
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(600)) as session,
        aio.InferenceServerClient(grpc) as client,
    ):

        async def worker() -> None:
            for prompt in left:
                found.append(await one(protocol, url, prompt, session, client, **SAMPLING))

        await asyncio.gather(*(worker() for _ in range(at_a_time)))
    return found


def client(*arguments: Any) -> tuple[float, float, list[float]]:
    """A client process: when it began and ended (the clock is the machine's), seconds to each first event."""
    began = time.perf_counter()
    found = asyncio.run(asked(*arguments))
    return began, time.perf_counter(), found


def protocol_run(
    pool: ProcessPoolExecutor, protocol: str, server: Server, prompts: list[str], level: int
) -> tuple[float, float]:
    """Output tokens a second, and the median time to the first event in ms."""
    count = min(level, CLIENTS)
    before = server.generated()
    parts = [(protocol, server.url, server.grpc, prompts[at::count], level // count) for at in range(count)]
    answers = [future.result() for future in [pool.submit(client, *part) for part in parts]]
    seconds = max(ended for _, ended, _ in answers) - min(began for began, _, _ in answers)
    generated = server.generated() - before
    assert generated == len(prompts) * OUTPUT, f"{protocol}: {generated:.0f} tokens instead of {len(prompts) * OUTPUT}"
    return generated / seconds, statistics.median(first for _, _, found in answers for first in found) * 1000


def bench_serve(server: Server, model: Path, level: int, seed: int) -> tuple[float, float]:
    """`vllm bench serve` in this process: output tokens a second, median time to the first token in ms."""
    from vllm.benchmarks.serve import add_cli_args, main_async
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser()
    add_cli_args(parser)
    command = [f"--base-url={server.url}", f"--model={model}", f"--served-model-name={MODEL}", "--dataset-name=random"]
    command += [f"--random-input-len={INPUT}", f"--random-output-len={OUTPUT}", f"--num-prompts={LEVELS[level]}"]
    command += [f"--max-concurrency={level}", f"--num-warmups={level}", f"--seed={seed}", "--temperature=0"]
    command += ["--ignore-eos", "--disable-tqdm"]
    with (model.parent / "bench.log").open("a") as log, contextlib.redirect_stdout(log):
        result = asyncio.run(main_async(parser.parse_args(command)))
    assert result["completed"] == LEVELS[level], result
    return result["output_throughput"], result["median_ttft_ms"]


async def first_tokens(bare: Server, ours: Server) -> list[tuple[str, str, str]]:
    """Time to the first token when nothing else runs: all protocols and bare vLLM in turns, request by request."""
    arms = ((OPENAI, bare), (OPENAI, ours), (STREAM, ours), (GRPC, ours))
    found: dict[Any, list[float]] = {arm: [] for arm in arms}
    async with aiohttp.ClientSession() as session, aio.InferenceServerClient(ours.grpc) as client:
        for at, text in enumerate(prompts(10_000, FIRSTS + 2)):
            for protocol, server in turns(at, arms):
                sampling = {**SAMPLING, "max_tokens": 2}
                seconds = await one(protocol, server.url, text, session, client, **sampling)
                found[protocol, server].append(seconds * 1000)
    (_, without), *rest = ((arm, values[2:]) for arm, values in found.items())  # the first ones open connections
    base = f"bare vLLM: {statistics.median(without):.1f} ms"
    return [
        (
            f"{protocol} with the plugin: time to the first token, {FIRSTS} requests one at a time",
            f"{statistics.median(values):.1f} ms",
            f"{base}; {more(values, without, 'ms')}",
        )
        for (protocol, _), values in rest
    ]


def prompts(seed: int, count: int) -> list[str]:
    """Texts of `INPUT` tokens; the same for every protocol of a pair."""
    draw = random.Random(seed)
    return [
        "".join(" " + "".join(draw.choices(string.ascii_lowercase, k=3)) for _ in range(INPUT)) for _ in range(count)
    ]


def turns(pair: int, order: tuple[Any, ...]) -> tuple[Any, ...]:
    return order if pair % 2 == 0 else order[::-1]


def measure(bare: Server, ours: Server, model: Path, pairs: int) -> list[tuple[str, str, str]]:
    found: Found = {}
    with ProcessPoolExecutor(CLIENTS, multiprocessing.get_context("spawn")) as pool:
        for protocol in (OPENAI, STREAM, UNARY, GRPC):
            protocol_run(pool, protocol, ours, prompts(0, 64), 64)
        for pair in range(pairs):
            for level, count in LEVELS.items():
                for name, server in turns(pair, (("bare", bare), ("with", ours))):
                    note(found, name, level, *bench_serve(server, model, level, pair + 1))
                texts = prompts(1000 * pair + level, count)
                for protocol in turns(pair, (STREAM, UNARY, OPENAI, GRPC)):
                    used = cpu_seconds(ours.process.pid)
                    note(found, protocol, level, *protocol_run(pool, protocol, ours, texts, level))
                    spent = (cpu_seconds(ours.process.pid) - used) / (count * OUTPUT) * 1e6
                    found.setdefault((protocol, level, "cpu"), []).append(spent)
            print(
                f"pair {pair + 1} of {pairs}: {json.dumps({str(key): values[-1] for key, values in found.items()})}",
                flush=True,
            )
    rows = []
    for level in LEVELS:
        rows.append(
            (f"OpenAI's `/v1/completions` with the plugin, {level} at a time", *compared(found, "with", "bare", level))
        )
    for protocol in (STREAM, UNARY, GRPC):
        for level in LEVELS:
            rows.append((f"Triton's {protocol}, {level} at a time", *compared(found, protocol, OPENAI, level)))
    return rows


def note(found: Found, name: str, level: int, rate: float, first: float) -> None:
    found.setdefault((name, level, "rate"), []).append(rate)
    found.setdefault((name, level, "first"), []).append(first)


def compared(found: Found, name: str, base: str, level: int) -> tuple[str, str]:
    def figures(which: str) -> str:
        told = f"{statistics.median(found[which, level, 'rate']):.0f} tokens/s"
        if which != UNARY:
            told += f", first after {statistics.median(found[which, level, 'first']):.1f} ms"
        if (which, level, "cpu") in found:
            told += f", {statistics.median(found[which, level, 'cpu']):.0f} µs of CPU a token"
        return told

    against = "bare vLLM" if base == "bare" else "OpenAI's route"
    return figures(name), f"{against}: {figures(base)}; {ratio(found[name, level, 'rate'], found[base, level, 'rate'])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="page whose table is replaced")
    parser.add_argument("--pairs", type=int, default=5, choices=[n + 1 for n in T95])
    parser.add_argument("--shape", choices=SHAPES, default="7b")
    parser.add_argument("--folder", type=Path, help="where logs go and stay (default: a temporary folder)")
    chosen = parser.parse_args()
    if "mlservice" not in {point.name for point in metadata.entry_points(group="vllm.endpoint_plugins")}:
        raise SystemExit("The plugin is not installed: pip install -r requirements/runtime.lock ./runtime-image")
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        write_model(folder / "model", chosen.shape)
        with servers(folder, folder / "model") as (bare, ours):
            print("both servers are ready", flush=True)
            fresh = {server: resident(server.process.pid) for server in (bare, ours)}
            rows = [(name, result, "") for name, result in checks(ours, folder)]
            rows += asyncio.run(first_tokens(bare, ours))
            print(*rows, sep="\n", flush=True)
            rows += measure(bare, ours, folder / "model", chosen.pairs)
            for when, sizes in (("after the start", fresh), ("after the load", None)):
                with_, without = (sizes[s] if sizes else resident(s.process.pid) for s in (ours, bare))
                rows.append((f"resident memory {when}", f"{with_:.0f} MB", f"bare vLLM: {without:.0f} MB"))
            rows.append(("drain under 100 streams", drained(ours), ""))
    import torch

    device = f"{torch.cuda.get_device_name()}, vLLM {metadata.version('vllm')}, {chosen.pairs} pairs"
    publish([("figure", device, "against"), *rows], "bench-runtime-gpu", chosen.write)


if __name__ == "__main__":
    main()
