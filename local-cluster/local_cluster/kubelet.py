"""The node's kubelet and kube-proxy, and the GPUs that the node pretends to have."""

from typing import Any

import yaml

from local_cluster import binaries, files
from local_cluster.api import Api
from local_cluster.controlplane import ControlPlane
from local_cluster.network import Network
from local_cluster.pki import Authority
from local_cluster.program import Program
from local_cluster.state import State

NODE = "node-1"


def kubelet(state: State, network: Network, authority: Authority, plane: ControlPlane, cgroup: str) -> Program:
    """Write certificates and configuration and return the program."""
    authority.serving("kubelet", [NODE, network.node])
    kubeconfig = authority.kubeconfig(NODE, plane.url, f"system:node:{NODE}", "system:nodes")
    resolv = state.etc / "resolv.conf"
    files.write(resolv, f"nameserver {network.dns}\n")
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "containerRuntimeEndpoint": f"unix://{state.containerd_socket}",
        "failSwapOn": False,
        "address": network.node,
        "tlsCertFile": str(state.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(state.pki / "kubelet.key"),
        "clusterDNS": [network.dns],
        "clusterDomain": "cluster.local",
        "resolvConf": str(resolv),
        "podLogsDir": "/var/log/pods",
        "volumePluginDir": str(state.root / "volume-plugins"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        # Images come by `load` only and cannot be pulled again: never collect them.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "5s",
        "maxPods": 200,
        "containerLogMaxSize": "20Mi",
    }
    path = state.etc / "kubelet.yaml"
    files.write(path, yaml.safe_dump(configuration, sort_keys=False))
    return Program(
        "kubelet",
        [
            str(binaries.path("kubelet")),
            f"--config={path}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={NODE}",
            f"--node-ip={network.node}",
            f"--root-dir={state.root / 'kubelet'}",
            f"--cert-dir={state.root / 'kubelet-pki'}",
        ],
        after=plane.listening,
    )


def kube_proxy(state: State, network: Network, authority: Authority, plane: ControlPlane) -> Program:
    """Write the configuration and return the program."""
    kubeconfig = authority.kubeconfig("kube-proxy", plane.url, "system:kube-proxy")
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": NODE,
        "clusterCIDR": network.pods,
        "bindAddress": network.node,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # These settings are read-only in a network namespace; zero leaves them alone.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    path = state.etc / "kube-proxy.yaml"
    files.write(path, yaml.safe_dump(configuration, sort_keys=False))
    return Program("kube-proxy", [str(binaries.path("kube-proxy")), f"--config={path}"], after=plane.ready)


def is_ready(api: Api) -> bool:
    """Is the node registered and Ready?"""
    node = api.get(f"/api/v1/nodes/{NODE}")
    return node is not None and any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in node["status"].get("conditions", [])
    )


def pretend_gpus(api: Api, count: int) -> None:
    """Let the node advertise GPUs that are not there: pods that ask for one are scheduled and run without it."""
    resources: dict[str, Any] = {"nvidia.com/gpu": str(count)}
    api.merge(f"/api/v1/nodes/{NODE}/status", {"status": {"capacity": resources, "allocatable": resources}})
