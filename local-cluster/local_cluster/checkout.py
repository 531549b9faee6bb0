"""Where this checkout keeps its Go modules and its kubeconfig."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GO_MODULES = ROOT / "local-cluster" / "go"
LOCAL = ROOT / ".local-cluster"
KUBECONFIG = LOCAL / "kubeconfig"


def cache() -> Path:
    """The folder outside the checkout that outlives clusters: built programs and images, keyed by content."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mlservice"
