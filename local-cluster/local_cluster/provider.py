"""The three things that differ between kinds of clusters: how one is created, gets images, and is deleted."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

from local_cluster import binaries, checkout, cluster, gateway, images, packages
from local_cluster.cluster import Cluster
from local_cluster.images.load import load
from local_cluster.report import Failure, Stopwatch
from local_cluster.settings import Settings
from local_cluster.state import State

ALTERNATIVES = "Use CLUSTER=local (no Docker engine, no registry) or CLUSTER=current (a cluster you have)."


class Provider(Protocol):
    """A kind of cluster; after `create` its kubeconfig is the checkout's."""

    def create(self, watch: Stopwatch) -> None:
        """Bring the cluster up."""

    def load(self, names: list[str], watch: Stopwatch) -> None:
        """Build the images and bring them where the cluster's nodes find them."""

    def delete(self) -> None:
        """Take the cluster down."""


class Local:
    """The sandbox of this machine."""

    def __init__(self, state: State) -> None:
        self.state = state
        # Network, GPUs and port of the Gateway; None keeps what the cluster has, or is the default for a new one.
        self.asked: tuple[int | None, int | None, int | None] = (None, None, None)

    def create(self, watch: Stopwatch) -> None:
        """Install and build what is missing, then start or heal the cluster."""
        cluster.require_root(os.getuid())
        packages.require(packages.NODE_LEVEL, watch)
        binaries.ensure(*binaries.NODE_LEVEL)
        gateway.install(watch)
        with self.state.locked():
            Cluster(self.state, (Settings.read(self.state) or Settings()).changed(*self.asked)).up(watch)

    def load(self, names: list[str], watch: Stopwatch) -> None:
        """Load images into containerd's store."""
        built = [images.build(name, watch) for name in names]
        if Settings.read(self.state) is None:
            raise Failure(f"No cluster runs in {self.state.root}.", "Start one: python -m local_cluster up")
        for image in built:
            load(self.state, image, watch)

    def delete(self, purge: bool = False) -> None:
        """Stop the cluster and remove what it left; the image store stays for the next one unless purged."""
        cluster.require_root(os.getuid())
        with self.state.locked():
            settings = Settings.read(self.state)
            if settings is not None:
                Cluster(self.state, settings).down()
            if purge:
                shutil.rmtree(self.state.root)


class Kind:
    """A cluster of kind, where a Docker engine and its registry can be reached."""

    NAME = "mlservice"

    def create(self, watch: Stopwatch) -> None:
        """Create the cluster if it does not exist."""
        self._check_engine()
        binaries.ensure("kind", "kubectl")
        checkout.LOCAL.mkdir(exist_ok=True)
        if self.NAME not in self._kind("get", "clusters").split():
            watch.say("kind create cluster (it pulls its node image, about 1 GB)")
            self._kind("create", "cluster", "--name", self.NAME, "--wait", "120s")
        self._kind("export", "kubeconfig", "--name", self.NAME)

    def load(self, names: list[str], watch: Stopwatch) -> None:
        """Load images into the nodes."""
        self._check_engine()
        for name in names:
            image = images.build(name, watch)
            with tempfile.TemporaryDirectory() as folder:
                archive = Path(folder) / "image.tar"
                image.write(archive)
                self._kind("load", "image-archive", str(archive), "--name", self.NAME)

    def delete(self) -> None:
        """Delete the cluster."""
        self._check_engine()
        binaries.ensure("kind")
        self._kind("delete", "cluster", "--name", self.NAME)
        checkout.KUBECONFIG.unlink(missing_ok=True)

    def _check_engine(self) -> None:
        if not packages.find("docker"):
            raise Failure("CLUSTER=kind needs a Docker engine, and there is no program `docker`.", ALTERNATIVES)
        done = subprocess.run(["docker", "info"], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"CLUSTER=kind: the Docker engine does not answer: {done.stderr.strip()}", ALTERNATIVES)

    def _kind(self, *arguments: str) -> str:
        environment = {**os.environ, "KUBECONFIG": str(checkout.KUBECONFIG)}
        done = subprocess.run(
            [str(binaries.path("kind")), *arguments], check=False, capture_output=True, text=True, env=environment
        )
        if done.returncode == 0:
            return done.stdout
        if "pull" in done.stderr:
            raise Failure(f"kind could not pull its node image:\n{done.stderr.strip()}", ALTERNATIVES)
        raise Failure(f"`kind {' '.join(arguments)}` failed:\n{done.stderr.strip()}", ALTERNATIVES)


class Current:
    """The cluster of the current kubeconfig context; it is neither created nor deleted."""

    def create(self, watch: Stopwatch) -> None:
        """Check that it answers, and make its kubeconfig the checkout's."""
        binaries.ensure("kubectl")
        context = self._kubectl("config", "current-context").strip()
        self._kubectl("get", "--raw", "/readyz")
        checkout.LOCAL.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            minified = Path(folder) / "kubeconfig"
            minified.write_text(self._kubectl("config", "view", "--minify", "--flatten", "--raw"))
            checkout.publish(minified)
        watch.say(f"The cluster of context {context} answers")

    def load(self, names: list[str], watch: Stopwatch) -> None:
        """Refuse: how images get into the registry of a foreign cluster is not known here."""
        raise Failure(
            f"CLUSTER=current: images ({', '.join(names)}) come to such a cluster through its registry.",
            "Build them from operator/Dockerfile and runtime-image/, push them, and name them in "
            "deploy/kustomization.yaml and in your MLServiceRuntime.",
        )

    def delete(self) -> None:
        """Leave the cluster alone; only the checkout's copy of the kubeconfig goes."""
        checkout.KUBECONFIG.unlink(missing_ok=True)

    def _kubectl(self, *arguments: str) -> str:
        done = subprocess.run([str(binaries.path("kubectl")), *arguments], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(
                f"CLUSTER=current: `kubectl {' '.join(arguments)}` failed: {done.stderr.strip()}",
                "Choose a context (kubectl config use-context NAME) or a file (KUBECONFIG=...), or use CLUSTER=local.",
            )
        return done.stdout
