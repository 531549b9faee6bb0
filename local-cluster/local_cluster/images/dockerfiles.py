"""The project's Dockerfiles, built with buildah: no Docker engine, no registry, and a base image of our own.

Their instructions run as written, with two substitutions: the base is Debian's Python with pip instead of an image from
a registry, and TORCH_INDEX is a folder that `torch_cpu` made. The runtime is built on vLLM for CPU.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from local_cluster import checkout, packages
from local_cluster.images import pip_base, torch_cpu, vllm_runtime
from local_cluster.report import Failure, Stopwatch

CERTIFICATES = "/etc/ssl/certs"


@dataclass(frozen=True)
class Dockerfile:
    """A Dockerfile of the repository, a command that its image must be able to run, and a word of what it prints."""

    name: str
    path: str
    smoke: tuple[str, ...]
    expected: str
    base: str = ""
    arguments: tuple[str, ...] = ()


ALL = (
    Dockerfile("operator", "operator/Dockerfile", ("python3", "-m", "mlservice", "--version"), "mlservice "),
    Dockerfile("vllm-cpu", "runtime-image/Dockerfile.cpu", ("vllm", "--version"), "0.32.0+cpu"),
    Dockerfile(
        "vllm",
        "runtime-image/Dockerfile",
        ("python3", "-m", "mlservice_runtime", "check"),
        "mlservice can be loaded",
        base="vllm-cpu",
        arguments=tuple(f"{name}={version}" for name, version in vllm_runtime.VERSIONS.items()),
    ),
)


class Buildah:
    """buildah with its store in the cache, where unchanged steps of a Dockerfile are found again."""

    def __init__(self, watch: Stopwatch) -> None:
        packages.require({"buildah": "buildah"}, watch)
        self.watch = watch
        self.store = checkout.cache() / "buildah"

    def run(self, *arguments: str) -> str:
        """Run buildah; returns its output, a Failure shows the end of it."""
        command = [packages.find("buildah") or "buildah", f"--root={self.store / 'root'}"]
        command += [f"--runroot={self.store / 'run'}", "--storage-driver=overlay", *arguments]
        environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            last = "\n".join(f"    {line}" for line in (done.stdout + done.stderr).strip().splitlines()[-15:])
            raise Failure(f"`buildah {' '.join(arguments[:3])} ...` failed:\n{last}", f"Its store is {self.store}.")
        return done.stdout

    def build(self, dockerfile: Dockerfile) -> str:
        """Build a Dockerfile and run its smoke command as the image's user; returns what the command printed."""
        started = self.watch.elapsed
        self.watch.say(f"{dockerfile.path}: building with buildah ...")
        with TemporaryDirectory() as folder:
            command = ["bud", "--layers", f"--file={checkout.ROOT / dockerfile.path}", f"--tag={tag(dockerfile.name)}"]
            command += [f"--build-arg=BASE_IMAGE={self.base(dockerfile)}", f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"]
            command += [f"--build-arg={argument}" for argument in dockerfile.arguments]
            command.append(f"--volume={pip_configuration(Path(folder))}:/etc/pip.conf:ro")
            if dockerfile.name == "vllm-cpu":
                index = torch_cpu.index(self.watch)
                command += [f"--volume={index}:/{index.name}:ro", f"--build-arg=TORCH_INDEX=file:///{index.name}"]
            self.run(*command, str(checkout.ROOT))
        container = self.run("from", tag(dockerfile.name)).strip()
        try:
            output = self.run("run", container, "--", *dockerfile.smoke).strip()
        finally:
            self.run("rm", container)
            self.run("rmi", "--prune")  # what an older Dockerfile left
        self.watch.say(f"{dockerfile.path}: built in {self.watch.elapsed - started:.0f} s")
        return output

    def layers(self, dockerfile: Dockerfile) -> list[tuple[str, int]]:
        """The layers of a built image, lowest first: the instruction that made each, and its size in bytes."""
        config = json.loads(self.run("inspect", "--type=image", tag(dockerfile.name)))["OCIv1"]
        stored = json.loads((self.store / "root" / "overlay-layers" / "layers.json").read_text())
        sizes = {layer.get("diff-digest"): layer.get("diff-size", 0) for layer in stored}
        made = [entry.get("created_by", "") for entry in config["history"] if not entry.get("empty_layer")]
        return [(by, sizes[digest]) for by, digest in zip(made, config["rootfs"]["diff_ids"], strict=True)]

    def base(self, dockerfile: Dockerfile) -> str:
        """The image a Dockerfile begins with: another one's result, or Debian's Python with pip, put into the store."""
        if dockerfile.base:
            return tag(dockerfile.base)
        image = pip_base.RECIPE.build(self.watch)
        if image.reference not in self.run("images", "--format={{.Name}}:{{.Tag}}").split():
            with TemporaryDirectory() as folder:
                archive = Path(folder) / "base.tar"
                image.write(archive)
                self.run("tag", self.run("pull", f"oci-archive:{archive}").strip().splitlines()[-1], image.reference)
        return image.reference


def tag(name: str) -> str:
    """The name of a Dockerfile's image in buildah's store."""
    return f"localhost/dockerfile-{name}:built"


def pip_configuration(folder: Path) -> Path:
    """This machine's package index and certificates, for pip in the build."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    lines = ["[global]"]
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        if name.rpartition(".")[2] in ("index-url", "extra-index-url", "cert"):
            lines.append(f"{name.rpartition('.')[2]} = {value.strip(chr(39))}")
    path = folder / "pip.conf"
    path.write_text("\n".join(dict.fromkeys(lines)) + "\n")
    return path
