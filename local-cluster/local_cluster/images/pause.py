"""The pause image: the process that holds a pod's namespaces open."""

import subprocess
from pathlib import Path

from local_cluster import binaries
from local_cluster.images.recipe import Recipe, source
from local_cluster.report import Failure, Stopwatch

# containerd's configuration names it, so this tag is the same for ever.
REFERENCE = "localhost/pause:3.10"
SOURCE = source(__file__).with_name("pause.go")


def fill(tree: Path, _: Stopwatch) -> None:
    """Compile pause.go as a static program."""
    command = ["go", "build", "-ldflags=-s -w", "-o", str(tree / "pause"), str(SOURCE)]
    binaries.go_version()
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=binaries.environment())
    if done.returncode != 0:
        raise Failure(f"Building {SOURCE} failed: {done.stderr.strip()}", "See `go env` and the disk's free space.")


def write(archive: Path) -> None:
    """Write the image as a tar for `ctr images import`."""
    RECIPE.build().write(archive)


RECIPE = Recipe(
    name="pause",
    tag=REFERENCE.rpartition(":")[2],
    inputs=(source(__file__), SOURCE),
    fill=fill,
    seconds=20,
    settings={"Entrypoint": ["/pause"], "User": "65535:65535"},
)
