"""The folder of a node level cluster."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_cluster.report import Failure

DEFAULT = Path("/var/lib/mlservice")
# Linux allows 107 bytes for the path of a socket; the kubelet's own are the longest below the folder.
LONGEST_SOCKET = "kubelet/device-plugins/kubelet.sock"


@dataclass(frozen=True)
class State:
    """Paths below the folder; `containerd` (the images) is all that outlives `down`."""

    root: Path = DEFAULT

    def __post_init__(self) -> None:
        longest = len(os.fsencode(self.root / LONGEST_SOCKET))
        if longest > 107:
            raise Failure(
                f"The path {self.root} is too long: a socket below it would have {longest} bytes, Linux allows 107.",
                "Choose a shorter one with --state.",
            )

    @property
    def pki(self) -> Path:
        """Certificates and kubeconfigs."""
        return self.root / "pki"

    @property
    def etc(self) -> Path:
        """Configuration files of the programs."""
        return self.root / "etc"

    @property
    def log(self) -> Path:
        """One log file per program, and those of the pods."""
        return self.root / "log"

    @property
    def containerd(self) -> Path:
        """containerd's image store."""
        return self.root / "containerd"

    @property
    def containerd_socket(self) -> Path:
        """containerd's socket, usable from the host: `ctr -a SOCKET -n k8s.io images ls`."""
        return self.root / "containerd.sock"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig for the host, which goes through 127.0.0.1."""
        return self.pki / "host.kubeconfig"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one `up` or `down` at a time work on the folder."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o711)
        with (self.root / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
