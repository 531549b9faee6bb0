"""The operator's image: its locked dependencies in one layer, its source in a thin one on top."""

from pathlib import Path

from local_cluster import checkout
from local_cluster.images import base, python
from local_cluster.images.recipe import Recipe, source
from local_cluster.report import Stopwatch

LOCK = checkout.ROOT / "requirements" / "operator.lock"
PACKAGE = checkout.ROOT / "operator" / "mlservice"
TARGET = "/opt/mlservice"


def fill_dependencies(tree: Path, watch: Stopwatch) -> None:
    """Install requirements/operator.lock."""
    with python.interpreter(watch) as interpreter:
        interpreter.install(tree, TARGET, "--require-hashes", "--requirements", str(LOCK))
        interpreter.compile(tree, TARGET)


def fill(tree: Path, watch: Stopwatch) -> None:
    """Copy the operator's source."""
    destination = tree / TARGET.lstrip("/") / PACKAGE.name
    for file in sorted(PACKAGE.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            copy = destination / file.relative_to(PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    with python.interpreter(watch) as interpreter:
        interpreter.compile(tree, TARGET)


DEPENDENCIES = Recipe(
    name="operator-dependencies",
    parent=base.RECIPE,
    inputs=(source(__file__), source(python.__file__), LOCK),
    fill=fill_dependencies,
    seconds=20,
)
RECIPE = Recipe(
    name="mlservice-operator",
    parent=DEPENDENCIES,
    inputs=(source(__file__), PACKAGE),
    fill=fill,
    seconds=3,
    settings={
        "Env": [f"PYTHONPATH={TARGET}", "PYTHONUNBUFFERED=1"],
        "Entrypoint": ["python3", "-m", "mlservice"],
        "Cmd": None,
        "User": "65532:65532",
        "WorkingDir": "/tmp",  # noqa: S108
    },
)
