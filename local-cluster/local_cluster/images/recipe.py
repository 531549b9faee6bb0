"""A recipe makes one layer on top of another recipe's layers; what was made is kept by a hash of what went into it."""

import fcntl
import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_cluster import checkout
from local_cluster.images.archive import Image, Layer, write_layer
from local_cluster.images.debian import architecture
from local_cluster.report import Failure, Stopwatch


@dataclass(frozen=True)
class Recipe:
    """How a layer is made: `fill` puts files into an empty folder and gets the stopwatch for its progress lines.

    `inputs` are files and folders whose content goes into the layer, the recipe's own source among them. `settings` are
    the OCI image config of a container, on top of the parent's (`Env` is added to, the rest replaces). `aliases` are
    further names, for manifests that are written by hand; they always mean the newest content.
    `seconds` is what the layer took on 2 cores with nothing cached.
    """

    name: str
    inputs: tuple[Path, ...]
    fill: Callable[[Path, Stopwatch], None]
    seconds: int
    parent: "Recipe | None" = None
    settings: dict[str, Any] = field(default_factory=dict)
    tag: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A hash of everything that goes into the layer and the layers below it; the image's tag."""
        sha256 = hashlib.sha256(f"{self.parent.key if self.parent else architecture()} {self.settings}".encode())
        for path in self.inputs:
            for file in sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]:
                if "__pycache__" not in file.parts:
                    sha256.update(f"{file.relative_to(path.parent)}\0".encode() + file.read_bytes())
        return sha256.hexdigest()[:16]

    @property
    def reference(self) -> str:
        """The image's full name; its tag changes with its content."""
        return f"localhost/{self.name}:{self.tag or self.key}"

    @property
    def folder(self) -> Path:
        """Where the cache keeps the layer."""
        return checkout.cache() / "images" / f"{self.name}-{self.key}"

    @property
    def all_settings(self) -> dict[str, Any]:
        """The image config's settings, those of the parents included."""
        below = self.parent.all_settings if self.parent else {}
        names = [variable.partition("=")[0] for variable in self.settings.get("Env", [])]
        inherited = [variable for variable in below.get("Env", []) if variable.partition("=")[0] not in names]
        return {**below, **self.settings, "Env": [*inherited, *self.settings.get("Env", [])]}

    def build(self, watch: Stopwatch | None = None) -> Image:
        """Make what the cache does not have, the parents' layers first; returns the image."""
        return Image(self.reference, architecture(), self.layers(watch or Stopwatch()), self.all_settings, self.aliases)

    def layers(self, watch: Stopwatch) -> tuple[Layer, ...]:
        """The layers, lowest first, made where the cache does not have them."""
        below = self.parent.layers(watch) if self.parent else ()
        folder = self.folder
        with kept(folder) as empty:
            if empty:
                watch.say(f"{self.name}: building its layer (about {self.seconds} s on 2 cores, nothing cached) ...")
                started = watch.elapsed
                tree = empty / "tree"
                tree.mkdir(mode=0o755)
                self.fill(tree, watch)
                layer = write_layer(tree, empty / "layer.tar")
                layer.path.chmod(0o444)  # containerd's store shares the file by a hard link
                shutil.rmtree(tree)
                (empty / "layer.json").write_text(json.dumps({"digest": layer.digest, "size": layer.size}))
                if self.folder != folder:
                    raise Failure(f"What {self.name} is made from changed while it was built.", "Run it again.")
                watch.say(f"{self.name}: {layer.size / 1e6:.0f} MB, built in {watch.elapsed - started:.0f} s")
                forget(folder.parent.glob(f"{self.name}-{'[0-9a-f]' * len(self.key)}"))
        made = json.loads((folder / "layer.json").read_text())
        return (*below, Layer(folder / "layer.tar", made["digest"], made["size"]))


def forget(folders: Iterable[Path], keep: int = 1) -> None:
    """Remove all but the newest folders: a new one is being added, and a changed source comes back now and then."""
    for old in sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
        (old.parent / f".{old.name}.lock").unlink(missing_ok=True)


@contextmanager
def kept(folder: Path) -> Iterator[Path | None]:
    """Yield an empty folder that becomes `folder` at the end, or None when that one is there already.

    One process at a time makes it; an exception leaves nothing behind, and what a killed one left is removed.
    """
    if folder.exists():
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            yield None
            return
        for left in folder.parent.glob(f".{folder.name}.tmp*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.tmp") as temporary:
            made = Path(temporary) / "made"
            made.mkdir()
            try:
                yield made
            except OSError as error:
                if error.errno == 28:
                    raise Failure(
                        f"The disk of {folder.parent} is full.",
                        "Free some space (12 GB for all images), or point XDG_CACHE_HOME to a larger disk.",
                    ) from error
                raise
            made.rename(folder)


@functools.cache
def source(file: str) -> Path:
    """A recipe's own source as one of its inputs: a change to how a layer is made makes a new layer."""
    return Path(file).resolve()
