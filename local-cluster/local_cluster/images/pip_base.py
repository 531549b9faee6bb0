"""The base on which the Dockerfiles are built here: like the images' own, with pip."""

from pathlib import Path

from local_cluster.images import base, debian
from local_cluster.images.recipe import Recipe, source
from local_cluster.report import Stopwatch


def fill(tree: Path, watch: Stopwatch) -> None:
    """Unpack the base's packages and Debian's pip."""
    base.fill(tree, watch, "python3-pip")


RECIPE = Recipe(
    name="python-pip",
    inputs=(source(__file__), source(base.__file__), source(debian.__file__)),
    fill=fill,
    seconds=10,
    settings=base.RECIPE.settings,
)
