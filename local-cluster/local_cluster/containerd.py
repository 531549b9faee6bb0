"""containerd of the node: its configuration, the pods' bridge network, and the import of image archives."""

import json
import subprocess
from pathlib import Path

from local_cluster import files
from local_cluster.network import Network
from local_cluster.packages import CNI, find
from local_cluster.program import Program
from local_cluster.report import Failure
from local_cluster.state import State

NAMESPACE = "k8s.io"
PAUSE = "localhost/pause:3.10"
CONFIGURATION = """\
version = 2
root = "{state.containerd}"
state = "/run/mlservice-containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "{state.containerd_socket}"
[ttrpc]
  address = "/run/mlservice-containerd.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  stream_server_address = "127.0.0.1"
  # Without CAP_SYS_RESOURCE (containers, small VMs) no sandbox starts otherwise: runc may not lower oom_score_adj.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{state.etc}/cni"
"""


def containerd(state: State, network: Network) -> Program:
    """Write the configuration and return the program."""
    configuration = state.etc / "containerd.toml"
    files.write(configuration, CONFIGURATION.format(state=state, pause=PAUSE, cni=CNI))
    conflist = {
        "cniVersion": "1.0.0",
        "name": "mlservice",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "ipMasq": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": network.node_pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    (state.etc / "cni").mkdir(exist_ok=True)
    files.write(state.etc / "cni" / "10-mlservice.conflist", json.dumps(conflist, indent=1))
    return Program("containerd", [find("containerd") or "containerd", f"--config={configuration}"])


def ctr(state: State, *arguments: str) -> str:
    """Run containerd's client in the namespace of the kubelet; returns its output."""
    command = [find("ctr") or "ctr", "-a", str(state.containerd_socket), "-n", NAMESPACE, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(
            f"`ctr {' '.join(arguments)}` failed: {done.stderr.strip()}",
            "See how the node is: python -m local_cluster status; python -m local_cluster logs containerd",
        )
    return done.stdout


def answers(state: State) -> bool:
    """Does containerd answer? Its socket is there a moment before."""
    if not state.containerd_socket.exists():
        return False
    try:
        ctr(state, "version")
    except Failure:
        return False
    return True


def images(state: State) -> list[str]:
    """The names of the images in the store."""
    return ctr(state, "images", "ls", "-q").split()


def import_archive(state: State, archive: Path) -> None:
    """Load a docker-archive or OCI-layout tar."""
    ctr(state, "images", "import", str(archive))
