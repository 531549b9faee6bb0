"""The demo's second half: what Triton's vLLM tutorial asks, of our runtime under the tutorial's model name."""

import json
import re
import shutil
import socket
import subprocess
import sys

import calls
from local_cluster import checkout
from local_cluster.report import Failure
from shell import HERE, WATCH, create, forwarded, kubectl, show, watch_until_ready

SERVICE = "llama2vllm"
FILE = "../triton-vllm/cpu/mlservice.yaml"
CLIENT = "../triton-vllm/triton_client.py"
PORTS = {"8000": "80", "8001": "8001", "8002": "8002"}
QUESTION = {"text_input": "What is Triton Inference Server?", "parameters": {"stream": False, "temperature": 0}}


def go_through() -> None:
    """Deploy it, show that the server started as Triton does, and ask it by curl and by gRPC."""
    create(FILE)
    watch_until_ready(FILE)
    logs = ["logs", "-l", f"mlservice.tensorstack.dev/name={SERVICE}", "--tail=-1"]
    show("kubectl", *logs, then="| grep 'Started .*Service at'")
    started = [line for line in kubectl(*logs, shown=False).splitlines() if re.search("Started .*Service at", line)]
    print("".join(f"  {line}\n" for line in started), end="", flush=True)
    pairs = [f"{port if is_free(int(port)) else ''}:{target}" for port, target in PORTS.items()]
    with forwarded(SERVICE, *pairs) as ports:
        generate(ports["8000"].replace("127.0.0.1", "localhost"))
        infer(ports["8001"].replace("127.0.0.1", "localhost"))


def generate(address: str) -> None:
    """The tutorial's curl command."""
    url, body = f"http://{address}/v2/models/{SERVICE}/generate", json.dumps(QUESTION)
    show("curl", "-X", "POST", url, "-d", body)
    if shutil.which("curl"):
        command = ["curl", "-sS", "--noproxy", "*", "--max-time", str(calls.SECONDS), "-X", "POST", url, "-d", body]
        answer = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    else:
        answer = "\n".join(calls.by_python(url, body))
    if '"text_output"' not in answer:
        raise Failure(f"{url} did not generate a text.", answer[:500] or "It answered nothing.")
    WATCH.say(calls.readable(answer))


def infer(address: str) -> None:
    """Four prompts on one gRPC stream, by tritonclient; the answers in results.txt."""
    results = checkout.LOCAL / "results.txt"
    command = [CLIENT, "-m", SERVICE, "-u", address, "--results-file", str(results)]
    show("python", *command)
    done = subprocess.run([sys.executable, *command], check=False, capture_output=True, text=True, cwd=HERE)
    if done.returncode != 0:
        raise Failure(f"The gRPC client failed: {done.stderr.strip()[-500:]}", "See the log of the pod.")
    print(f"  {done.stdout.strip()}")
    for line in results.read_text().splitlines()[:6]:
        print(f"  {calls.readable(line)}".rstrip())
    WATCH.say(f"{results.read_text().count('=========')} answers by gRPC")


def is_free(port: int) -> bool:
    """Whether a port of this machine can be listened at."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
