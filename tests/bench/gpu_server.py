"""vLLM on this machine's GPU, with our plugin or without, and a model of a usual shape with random weights."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "quickstart"))

import make_model

MODEL = "llama2vllm"
START_SECONDS = 600
STUCK_SECONDS = 8
SPACE = "Ġ"  # what byte-level BPE writes for it
SHAPES = {
    "7b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32},
}
VOCABULARY = 32_000
KV_BYTES = 10 * 1024**3


class Server:
    """A running server, its ports and its log."""

    def __init__(self, folder: Path, model: Path, plugin: bool) -> None:
        self.folder = folder
        self.log = folder / "vllm.log"
        folder.mkdir(parents=True)
        self.port, http, grpc, metrics = free_ports(4)
        self.url, self.http_url, self.grpc = (
            f"http://127.0.0.1:{self.port}",
            f"http://127.0.0.1:{http}",
            f"127.0.0.1:{grpc}",
        )
        self.environment = os.environ | {
            "VLLM_PLUGINS": "mlservice" if plugin else "",
            "VLLM_CACHE_ROOT": str(folder / "cache"),
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        if plugin:
            self.environment |= {
                "MLSERVICE_RUNTIME_HTTP_PORT": str(http),
                "MLSERVICE_RUNTIME_GRPC_PORT": str(grpc),
                "MLSERVICE_RUNTIME_METRICS_PORT": str(metrics),
                "MLSERVICE_RUNTIME_STUCK_SECONDS": str(STUCK_SECONDS),
                "MLSERVICE_RUNTIME_FOLDER": str(folder / "sockets"),
            }
        command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(model), "--load-format=dummy"]
        command += ["--host=127.0.0.1", f"--port={self.port}", f"--served-model-name={MODEL}", "--dtype=bfloat16"]
        command += ["--max-model-len=4096", "--max-num-seqs=128", "--no-enable-prefix-caching"]
        # The size of the KV cache is given, so that the two servers do not measure each other's memory.
        command += ["--gpu-memory-utilization=0.4", f"--kv-cache-memory-bytes={KV_BYTES}"]
        command += ["--shutdown-timeout=60", "--disable-uvicorn-access-log"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output, cwd=folder)
        self.began = time.monotonic()

    def status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait_until_ready(self) -> None:
        path = "/v2/health/ready" if self.environment["VLLM_PLUGINS"] else "/health"
        while self.status(path) != 200:
            up = self.process.poll() is None and time.monotonic() - self.began < START_SECONDS
            assert up, f"vLLM did not become ready:\n{self.log.read_text(errors='replace')[-8000:]}"
            time.sleep(0.2)

    def generated(self) -> float:
        """Tokens that it has generated since it was started."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("vllm:generation_tokens_total"))

    def children(self) -> list[int]:
        """The processes that the server started: the engine and what belongs to it."""
        found, rest = [], [self.process.pid]
        while rest:
            lists = Path(f"/proc/{rest.pop()}/task").glob("*/children")
            below = [int(child) for list_ in lists for child in list_.read_text().split()]
            found += below
            rest += below
        return found

    def stop(self) -> int:
        """End it as a kubelet does; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(90)
        except subprocess.TimeoutExpired:
            for pid in (*self.children(), self.process.pid):
                os.kill(pid, signal.SIGKILL)
            return self.process.wait()


@contextmanager
def servers(folder: Path, model: Path) -> Iterator[tuple[Server, Server]]:
    """vLLM without and with the plugin; they start at the same time."""
    both: list[Server] = []
    try:
        both += [Server(folder / name, model, plugin=name == "ours") for name in ("bare", "ours")]
        for server in both:
            server.wait_until_ready()
        yield both[0], both[1]
    finally:
        for server in both:
            server.stop()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports: list[int] = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def write_model(folder: Path, shape: str) -> None:
    """Configuration and tokenizer of a Llama; vLLM draws its weights (--load-format=dummy)."""
    folder.mkdir(parents=True)
    words = {"num_key_value_heads": 8, "vocab_size": VOCABULARY}
    config = make_model.CONFIG | SHAPES[shape] | words
    config["head_dim"] = config["hidden_size"] // config["num_attention_heads"]
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    files = {
        "config.json": config,
        "tokenizer.json": tokenizer(),
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 4096} | special,
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False))


def tokenizer() -> dict[str, object]:
    """The quick start's tokenizer with merges: a token for every short word, so that words count as tokens."""
    made = make_model.tokenizer()
    model = made["model"]
    longer = ("".join(letters) for length in (1, 2, 3, 4) for letters in product(ascii_lowercase, repeat=length))
    for word in islice(longer, VOCABULARY - len(model["vocab"])):
        model["vocab"][SPACE + word] = len(model["vocab"])
        model["merges"].append([SPACE + word[:-1], word[-1]])
    return made
