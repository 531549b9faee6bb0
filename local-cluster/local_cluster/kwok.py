"""kwok: nodes that do not exist, whose pods say that they run."""

from pathlib import Path
from typing import Any

from local_cluster import binaries, manifests
from local_cluster.program import Program

ANNOTATION = "kwok.x-k8s.io/node"


def kwok(kubeconfig: Path, port: int, after: str) -> Program:
    """The controller that plays the kubelet of every node annotated `kwok.x-k8s.io/node: fake`."""
    return Program(
        "kwok",
        [
            str(binaries.path("kwok")),
            f"--kubeconfig={kubeconfig}",
            f"--config={manifests.path('kwok-stages.yaml')}",
            "--manage-all-nodes=false",
            f"--manage-nodes-with-annotation-selector={ANNOTATION}=fake",
            "--node-ip=127.0.0.1",
            "--cidr=10.0.0.1/24",
            "--node-lease-duration-seconds=40",
            f"--server-address=127.0.0.1:{port}",
        ],
        after=after,
    )


def node(name: str, *, cpu: int = 64, memory: str = "512Gi", gpus: int = 8, taint: bool = True) -> dict[str, Any]:
    """A node that kwok plays; with `taint` only pods come to it that tolerate `kwok.x-k8s.io/node`."""
    resources = {"cpu": str(cpu), "memory": memory, "pods": "500", "nvidia.com/gpu": str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {ANNOTATION: "fake"},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"},
        },
        "spec": {"taints": [{"key": ANNOTATION, "value": "fake", "effect": "NoSchedule"}] if taint else []},
        "status": {"capacity": resources, "allocatable": resources},
    }
