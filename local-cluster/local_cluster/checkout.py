"""Where this checkout keeps its Go modules and its kubeconfig."""

import os
from pathlib import Path

from local_cluster import files

ROOT = Path(__file__).resolve().parents[2]
GO_MODULES = ROOT / "local-cluster" / "go"
LOCAL = ROOT / ".local-cluster"
KUBECONFIG = LOCAL / "kubeconfig"


def cache() -> Path:
    """The folder outside the checkout that outlives clusters: built programs and images, keyed by content."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mlservice"


def publish(kubeconfig: Path) -> None:
    """Make a cluster's kubeconfig this checkout's."""
    LOCAL.mkdir(exist_ok=True)
    files.write(KUBECONFIG, kubeconfig.read_text(), mode=0o600)


def withdraw(kubeconfig: Path) -> None:
    """Remove this checkout's kubeconfig if it is the one of that cluster."""
    if KUBECONFIG.exists() and kubeconfig.exists() and KUBECONFIG.read_bytes() == kubeconfig.read_bytes():
        KUBECONFIG.unlink()
