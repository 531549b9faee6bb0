"""What vLLM's CPU build sets in its environment for the processes that it spawns (vllm/platforms/cpu.py).

A library that is to be loaded before all others, and what is read when a module is imported, comes too late for a fork.
So the first process has it already.
"""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

OPENMP = ("libomp", "libgomp", "libiomp")


def preloaded(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for vLLM's first process."""
    made = dict(environment)
    if not built_for_cpu():
        return made
    made.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    made.setdefault("TORCHINDUCTOR_CPP_DYNAMIC_THREADS", "1")
    libraries = [entry for entry in made.get("LD_PRELOAD", "").split(":") if entry]
    if not any(name in entry for entry in libraries for name in OPENMP):
        libraries += first(folder("torch") / "../torch.libs", "libgomp*.so*") or first(
            folder("torch") / "lib", "libgomp*.so*"
        )
    if not any("libtcmalloc" in entry for entry in libraries):
        libs = folder("vllm") / "libs"
        libraries = (first(libs, "libtcmalloc_minimal*.so*") or first(libs, "libtcmalloc.so*")) + libraries
    if libraries:
        made["LD_PRELOAD"] = ":".join(libraries)
    return made


def built_for_cpu() -> bool:
    """Whether this is vLLM's CPU build; no where its version is not known."""
    try:
        return "cpu" in version("vllm")
    except PackageNotFoundError:
        return False


def folder(package: str) -> Path:
    """Where a package is installed; it is not imported."""
    found = find_spec(package)
    return Path(found.origin).parent if found and found.origin else Path("/nonexistent")


def first(place: Path, pattern: str) -> list[str]:
    return [str(file) for file in sorted(place.glob(pattern))[:1]]
