"""Python packages installed into an image's folder from a lock file, with their bytecode."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from local_cluster.images import base
from local_cluster.report import Failure, Stopwatch

INTERPRETER = "/usr/bin/python3"
UNREACHABLE = ("Failed to fetch", "error sending request", "dns error", "timed out", "No matching distribution")


@contextmanager
def interpreter(watch: Stopwatch) -> Iterator["Interpreter"]:
    """The base image's Python, unpacked for a while."""
    layer = base.RECIPE.layers(watch)[-1]
    with TemporaryDirectory() as folder, tarfile.open(layer.path) as tar:
        tar.extractall(folder, filter="fully_trusted")  # noqa: S202
        yield Interpreter(Path(folder))


class Interpreter:
    """Python of an unpacked image, which runs without a chroot: through the image's own loader and libraries."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.program = max(root.glob("usr/bin/python3.*[0-9]"))
        self.version = self.program.name.removeprefix("python")

    def install(self, tree: Path, target: str, *requirements: str) -> None:
        """Install packages below `tree`/`target` with uv; `requirements` are its arguments, for example -r FILE."""
        folder = tree / target.lstrip("/")
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        # Copies: a file that is linked from uv's cache changes, says tar, when another uv links it meanwhile.
        command += ["--link-mode=copy", f"--python-version={self.version}", f"--target={folder}", *requirements]
        run(command, "Installing Python packages failed")
        (folder / ".lock").unlink(missing_ok=True)
        for script in (folder / "bin").glob("*"):
            content = script.read_bytes()
            if content.startswith(b"#!") and b"python" in content.partition(b"\n")[0]:
                script.write_bytes(f"#!{INTERPRETER}".encode() + b"\n" + content.partition(b"\n")[2])

    def compile(self, tree: Path, target: str) -> None:
        """Compile to bytecode that is never checked against its source: the container may not write another."""
        loader = next(self.root.glob("usr/lib/*-linux-gnu/ld-linux*.so.*"))
        command = [str(loader), "--library-path", str(loader.parent), str(self.program), "-S", "-m", "compileall", "-q"]
        command += [f"-j{os.cpu_count()}", "--invalidation-mode=unchecked-hash", f"-s{tree}", "-p/"]
        command.append(str(tree / target.lstrip("/")))
        environment = {"PYTHONHOME": str(self.root / "usr")}
        # Its status is not checked: wheels carry templates and files for other Pythons that cannot be compiled.
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def run(command: list[str], problem: str) -> None:
    """Run pip or uv; a Failure shows the end of what it wrote."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode == 0:
        return
    last = "\n".join(f"    {line}" for line in done.stdout.strip().splitlines()[-12:])
    if any(sign in done.stdout for sign in UNREACHABLE):
        todo = (
            "The Python package index did not answer: see UV_INDEX_URL, PIP_INDEX_URL and the network, then run again."
        )
    else:
        todo = f"Try it by hand: {' '.join(command)}"
    raise Failure(f"{problem}:\n{last}", todo)
