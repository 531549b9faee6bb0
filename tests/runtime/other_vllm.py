"""Run tests/runtime with the Python code of another vLLM: which versions the runtime fits.

    python tests/runtime/other_vllm.py 0.33.0 --also orjson -x -k tutorial

vLLM's releases are for GPUs and are published for CPUs later, or not at all. So their Python code is put in the place
of that of the CPU build, whose kernels, torch and other packages stay; `--also` names what it needs beside them, and
pytest gets all other arguments. What the kernels of that version do is not tested by this.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from local_cluster.images import vllm_cpu
from local_cluster.report import Stopwatch
from serving import PACKAGES, packages

ROOT = Path(__file__).parents[2]
PYTHON, PLATFORM = "3.11", "x86_64-manylinux_2_31"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="of vLLM, such as 0.33.0")
    parser.add_argument("--also", nargs="+", default=[], help="packages that the CPU build does not have")
    chosen, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "packages"
        other_python(tree, chosen.version, chosen.also)
        command = [sys.executable, "-m", "pytest", "-q", *rest, "tests/runtime"]
        return subprocess.run(command, cwd=ROOT, env=os.environ | {PACKAGES: str(tree)}, check=False).returncode


def other_python(tree: Path, version: str, also: list[str]) -> None:
    """Make the packages of the CPU runtime with the Python code of that version."""
    shutil.copytree(packages(Stopwatch()), tree, copy_function=os.link, symlinks=True)
    site = tree / vllm_cpu.TARGET.lstrip("/")
    with tempfile.TemporaryDirectory(dir=tree) as folder:
        install = ["-m", "uv", "pip", "install", "-q", "--no-deps", "--link-mode=copy", f"--target={folder}"]
        install += [f"--python-version={PYTHON}", f"--python-platform={PLATFORM}", f"vllm=={version}", *also]
        subprocess.run([sys.executable, *install], check=True)
        made = Path(folder)
        for kernel in (made / "vllm").rglob("*.so"):
            kernel.unlink()
        for kernel in (site / "vllm").rglob("*.so"):
            (made / kernel.relative_to(site)).parent.mkdir(parents=True, exist_ok=True)
            kernel.rename(made / kernel.relative_to(site))
        shutil.rmtree(site / "vllm")
        for old in site.glob("vllm*.dist-info"):
            shutil.rmtree(old)
        told = made / f"vllm-{version}.dist-info" / "METADATA"
        # The version is how vLLM tells that it was built for CPUs.
        told.write_text(told.read_text().replace(f"\nVersion: {version}\n", f"\nVersion: {version}+cpu\n"))
        for new in made.iterdir():
            if new.name != "bin":
                new.rename(site / new.name)


if __name__ == "__main__":
    raise SystemExit(main())
