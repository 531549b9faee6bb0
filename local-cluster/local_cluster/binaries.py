"""Kubernetes and its companions, built from pinned Go modules into a cache that is keyed by their inputs."""

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_cluster import checkout
from local_cluster.report import Failure, Stopwatch, tail

KUBERNETES = "v1.37.2"
KUBERNETES_STAMP = " ".join(
    [
        "-s -w",
        f"-X k8s.io/component-base/version.gitVersion={KUBERNETES}",
        "-X k8s.io/component-base/version.gitMajor=1",
        "-X k8s.io/component-base/version.gitMinor=37",
        "-X k8s.io/component-base/version.gitTreeState=clean",
        f"-X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES}",
    ]
)
COLD_BUILD_BYTES = 20 * 10**9
UNREACHABLE = ("dial tcp", "no such host", "connection refused", "i/o timeout", "TLS handshake", "Bad Gateway", "EOF")


@dataclass(frozen=True)
class Build:
    """One `go build`: program names and their packages; `seconds` is what it took on 2 cores with cold caches."""

    module: str
    packages: dict[str, str]
    seconds: int
    ldflags: str = "-s -w"


def kubernetes(*names: str, seconds: int) -> Build:
    """The build of commands of the Kubernetes repository."""
    return Build("kubernetes", {name: f"k8s.io/kubernetes/cmd/{name}" for name in names}, seconds, KUBERNETES_STAMP)


# What the API level needs comes first, so that its tests can begin while the rest is being built.
BUILDS = (
    Build("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}, 45),
    kubernetes("kube-apiserver", seconds=340),
    kubernetes("kube-controller-manager", "kube-scheduler", seconds=150),
    kubernetes("kubectl", seconds=40),
    kubernetes("kubelet", "kube-proxy", seconds=45),
    Build("extras", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}, 100),
    Build("extras", {"dns": "./dns"}, 20),
    Build("kind", {"kind": "sigs.k8s.io/kind"}, 20),
)
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
API_LEVEL = (*CONTROL_PLANE, "kubectl", "kwok")
NODE_LEVEL = (*CONTROL_PLANE, "kubectl", "kubelet", "kube-proxy", "dns")


def path(name: str) -> Path:
    """Where a program is; a Failure when it is not built yet."""
    found = target(name)
    if not found.exists():
        raise Failure(f"{name} is not built yet.", "Build it: python -m local_cluster binaries")
    return found


def target(name: str) -> Path:
    """Where a program will be once it is built."""
    return folder(build_of(name).module) / name


def folder(module: str) -> Path:
    """The folder of all that is made of a module; its name holds a hash of all that goes into it."""
    return checkout.cache() / "bin" / f"{module}-{key(module)}"


def ensure(*names: str) -> None:
    """Build what is missing, one build at a time on this machine, and say how long each took."""
    watch = Stopwatch()
    if any(not target(name).exists() and name in build_of_kubernetes() for name in names):
        check_disk()
    for build in BUILDS:
        wanted = [name for name in build.packages if name in names]
        if any(not target(name).exists() for name in wanted):
            with building(wanted[0], watch) as needed:
                if needed:
                    run_build(build, watch)


def build_of(name: str) -> Build:
    """The build that makes a program."""
    for build in BUILDS:
        if name in build.packages:
            return build
    known = sorted(name for build in BUILDS for name in build.packages)
    raise Failure(f"No program is called {name!r}.", f"There are: {', '.join(known)}")


def build_of_kubernetes() -> set[str]:
    """The names of the programs that come from the Kubernetes module."""
    return {name for build in BUILDS if build.module == "kubernetes" for name in build.packages}


@functools.cache
def go_version() -> str:
    """The version and platform of the Go tool chain, for example `go1.26.8 linux/amd64`."""
    if not shutil.which("go"):
        raise Failure(
            "The program `go` is not on PATH; Kubernetes is built from its Go modules.",
            "Install Go 1.26 or newer and put its bin folder on PATH.",
        )
    command = ["go", "env", "GOVERSION", "GOOS", "GOARCH"]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment()).stdout
    return " ".join(output.split())


@functools.cache
def key(module: str) -> str:
    """A hash of everything that goes into the programs of a module."""
    digest = hashlib.sha256(go_version().encode())
    source = checkout.GO_MODULES / module
    for file in sorted(f for f in source.rglob("*") if f.is_file()):
        digest.update(f"{file.relative_to(source)}\0".encode() + file.read_bytes())
    for build in BUILDS:
        if build.module == module:
            digest.update(f"{build.packages}{build.ldflags}".encode())
    return digest.hexdigest()[:16]


def environment() -> dict[str, str]:
    """The environment of every Go command: the installed tool chain, static programs, the same bytes anywhere."""
    fixed = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-trimpath -buildvcs=false", "GOWORK": "off"}
    return {**os.environ, **fixed}


def check_disk() -> None:
    """A Failure when a cold build of Kubernetes could fill the disk."""
    cache = checkout.cache()
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if free < COLD_BUILD_BYTES:
        raise Failure(
            f"{cache} has {free / 1e9:.1f} GB free. Building Kubernetes from its sources with cold caches, and the "
            f"images after it, takes up to {COLD_BUILD_BYTES / 1e9:.0f} GB.",
            "Free some space, or point XDG_CACHE_HOME (programs, images), GOCACHE and GOMODCACHE to a larger disk.",
        )


@contextmanager
def building(name: str, watch: Stopwatch) -> Iterator[bool]:
    """Hold the machine's build lock; yields whether the program is still missing once the lock is ours."""
    lock = checkout.cache() / "bin" / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        next_word = 0.0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # The holder moves on to its next program: ours may be there although the lock is not free.
                if target(name).exists():
                    break
                if watch.elapsed >= next_word:
                    watch.say(f"{name}: another command of this machine is building, waiting for it")
                    next_word = watch.elapsed + 30
                time.sleep(0.5)
        yield not target(name).exists()


def run_build(build: Build, watch: Stopwatch) -> None:
    """Build one group of programs into a temporary folder and rename each into the cache."""
    names = " + ".join(build.packages)
    destination = folder(build.module)
    destination.mkdir(parents=True, exist_ok=True)
    log = destination / f"{'+'.join(build.packages)}.log"
    watch.say(f"{names}: building (about {build.seconds} s on 2 cores with cold caches) ...")
    started = watch.elapsed
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix="build-") as temporary:
        single = next(iter(build.packages)) if len(build.packages) == 1 else ""
        output = f"{temporary}/{single}"
        command = ["go", "build", "-ldflags", build.ldflags, "-o", output, *build.packages.values()]
        run_go(command, build.module, log, names, watch)
        for name in build.packages:
            (Path(temporary) / name).rename(destination / name)
    watch.say(f"{names}: built in {watch.elapsed - started:.0f} s")


def run_go(command: list[str], module: str, log: Path, names: str, watch: Stopwatch) -> None:
    """Run a Go command with a sign of life every half minute; a Failure tells what to do when it fails."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=checkout.GO_MODULES / module, env=environment(), stdout=output, stderr=output
        )
        try:
            while True:
                try:
                    code = process.wait(timeout=30)
                    break
                except subprocess.TimeoutExpired:
                    watch.say(f"{names}: still building")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code != 0:
        raise build_failure(names, log)


def build_failure(names: str, log: Path) -> Failure:
    """What to say about a failed Go command, judged by its output."""
    output = log.read_text(errors="replace")
    if "no space left on device" in output:
        todo = "The disk is full: free some space (20 GB for a cold build), then run the same command again."
    elif any(sign in output for sign in UNREACHABLE):
        todo = (
            "The Go module proxy did not answer. See `go env GOPROXY`, HTTPS_PROXY and the network, then run the same "
            "command again: it goes on where it stopped."
        )
    elif "requires go >=" in output:
        todo = f"The installed Go ({go_version()}) is too old: install Go 1.26 or newer."
    else:
        todo = f"The whole output is in {log}."
    return Failure(f"Building {names} failed:\n{tail(log)}", todo)
