"""Container images without a builder and without a registry: made from Debian's and Python's packages, kept by content.

python -m local_cluster.images build operator vllm-cpu
"""

from local_cluster.images import base, busybox, operator, pause, vllm_runtime
from local_cluster.images.archive import Image
from local_cluster.images.recipe import Recipe
from local_cluster.report import Failure, Stopwatch

RECIPES: dict[str, Recipe] = {
    "pause": pause.RECIPE,
    "busybox": busybox.RECIPE,
    "base": base.RECIPE,
    "operator": operator.RECIPE,
    "vllm-cpu": vllm_runtime.RECIPE,
}


def recipe(name: str) -> Recipe:
    """The recipe of an image; a Failure names the images there are."""
    if name not in RECIPES:
        raise Failure(f"No image is called {name!r}.", f"There are: {', '.join(RECIPES)}")
    return RECIPES[name]


def reference(name: str) -> str:
    """The full name of an image, for example localhost/busybox:1f0c...; computed, nothing is built for it."""
    return recipe(name).reference


def build(name: str, watch: Stopwatch | None = None) -> Image:
    """Make an image where the cache does not have it."""
    return recipe(name).build(watch)
