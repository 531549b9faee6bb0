"""The image store of the node: images are put into it without copying what is there already."""

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

from local_cluster import containerd
from local_cluster.images.archive import Image, Layer, digest
from local_cluster.packages import find
from local_cluster.report import Failure, Stopwatch
from local_cluster.state import State

CONTENT = "io.containerd.content.v1.content/blobs"
# What has this label is not collected as garbage (containerd's docs/garbage-collection.md).
ROOT = "containerd.io/gc.root"


def load(state: State, image: Image, watch: Stopwatch) -> None:
    """Put an image into containerd under its reference; nothing is done when it is there with the same content."""
    if is_loaded(state, image):
        return
    started = watch.elapsed
    for layer in image.layers:
        hold(state, layer)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        image.write(archive, with_layers=False)
        containerd.import_archive(state, archive)
    for layer in image.layers:
        containerd.ctr(state, "content", "label", layer.digest, f"{ROOT}=")
    watch.say(f"{image.reference}: loaded in {watch.elapsed - started:.1f} s")


def is_loaded(state: State, image: Image) -> bool:
    """Whether the node has exactly this image, under all of its names."""
    lines = containerd.ctr(state, "images", "ls", *(f"name=={name}" for name in image.names)).splitlines()[1:]
    known = {line.split()[0] for line in lines if digest(image.manifest) in line}
    return known >= set(image.names)


def hold(state: State, layer: Layer) -> None:
    """Have the layer in containerd, and keep it there until an image refers to it.

    containerd collects what nothing refers to whenever something is deleted: also between our ingestion and our label.
    """
    for attempt in range(5):
        try:
            containerd.ctr(state, "content", "label", layer.digest, f"{ROOT}=loading")
            return
        except Failure as failure:
            if "not found" not in failure.problem or attempt == 4:
                raise
        ingest(state, layer)


def ingest(state: State, layer: Layer) -> None:
    """Give containerd a layer: by a hard link into its store where the disk is the same, else by copying.

    `content ingest` then registers the layer for the kubelet's namespace. It needs a file that can be sought in as its
    standard input; it finds the link and reads nothing (2.5 GB: 2 s instead of 25 s).
    """
    place = state.containerd / CONTENT / layer.digest.replace(":", "/")
    if place.parent.is_dir() and not place.exists():
        with contextlib.suppress(OSError):  # on another disk the ingestion copies
            os.link(layer.path, place)
    command = [find("ctr") or "ctr", "-a", str(state.containerd_socket), "-n", containerd.NAMESPACE]
    command += ["content", "ingest", f"--expected-digest={layer.digest}", f"--expected-size={layer.size}", layer.digest]
    with layer.path.open("rb") as file:
        done = subprocess.run(command, stdin=file, check=False, capture_output=True, text=True)
    if done.returncode != 0 and "already exists" not in done.stderr:
        raise Failure(
            f"containerd did not take the layer {layer.path}: {done.stderr.strip()}",
            "Is there space left on its disk? See also: python -m local_cluster logs containerd",
        )
