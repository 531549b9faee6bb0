"""The directory below which the kubelet makes the control groups of its pods."""

import time
from pathlib import Path

from local_cluster.report import Failure

ROOT = Path("/sys/fs/cgroup")


def hierarchies(root: Path = ROOT) -> list[Path]:
    """The mounted hierarchies: one per controller with cgroup v1, a single one with v2."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return [folder for folder in sorted(root.iterdir()) if (folder / "cgroup.procs").exists()] if root.exists() else []


def make(name: str) -> None:
    """Make the directory in every hierarchy."""
    folders = hierarchies()
    if not folders:
        raise Failure(f"No control groups are mounted at {ROOT}.", "The kubelet needs them: mount them, or use a VM.")
    try:
        for folder in folders:
            (folder / name).mkdir(exist_ok=True)
            if (folder / "cgroup.controllers").exists():
                delegate(folder)
            for setting in ("cpuset.mems", "cpuset.cpus"):  # v1 gives a new cpuset no CPUs
                if (folder / setting).exists() and not (folder / name / setting).read_text().strip():
                    (folder / name / setting).write_text((folder / setting).read_text())
    except OSError as error:
        raise Failure(
            f"Control groups cannot be made: {error}",
            "The node level needs a writable /sys/fs/cgroup: in a container, run it privileged.",
        ) from error


def delegate(folder: Path) -> None:
    """Let the children of a v2 group use every controller that it has."""
    controllers = (folder / "cgroup.controllers").read_text().split()
    (folder / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in controllers))


def remove(name: str, seconds: float = 5) -> None:
    """Remove the directory from every hierarchy; its processes were killed, but the kernel needs a moment for them."""
    deadline = time.monotonic() + seconds
    for folder in hierarchies():
        top = folder / name
        for group in [*sorted((g for g in top.rglob("*") if g.is_dir()), key=lambda g: -len(g.parts)), top]:
            while group.exists():
                try:
                    group.rmdir()
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
