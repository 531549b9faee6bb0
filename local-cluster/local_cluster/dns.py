"""The cluster's DNS: a small CoreDNS as a process of the node, and the Service that leads to it."""

from local_cluster import binaries, files
from local_cluster.api import Api
from local_cluster.controlplane import ControlPlane
from local_cluster.network import Network
from local_cluster.pki import Authority
from local_cluster.program import Program
from local_cluster.state import State

COREFILE = """\
.:53 {{
  bind {address}
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    kubeconfig {kubeconfig}
    pods insecure
    ttl 5
  }}
  cache 5
}}
"""


def dns(state: State, network: Network, authority: Authority, plane: ControlPlane) -> Program:
    """Write the configuration and return the program."""
    kubeconfig = authority.kubeconfig("dns", plane.url, "dns", "system:masters")
    corefile = state.etc / "Corefile"
    files.write(corefile, COREFILE.format(address=network.node, kubeconfig=kubeconfig))
    return Program("dns", [str(binaries.path("dns")), f"-conf={corefile}"], after=plane.ready)


def apply_service(api: Api, network: Network) -> None:
    """Apply the Service kube-system/kube-dns and its endpoints, which no selector finds: CoreDNS is not a pod."""
    api.apply(
        "/api/v1/namespaces/kube-system/services/kube-dns",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system"},
            "spec": {
                "clusterIP": network.dns,
                "ports": [
                    {"name": "dns", "protocol": "UDP", "port": 53},
                    {"name": "dns-tcp", "protocol": "TCP", "port": 53},
                ],
            },
        },
    )
    api.apply(
        "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns",
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns",
                "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": "kube-dns"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [network.node], "conditions": {"ready": True}}],
            "ports": [
                {"name": "dns", "protocol": "UDP", "port": 53},
                {"name": "dns-tcp", "protocol": "TCP", "port": 53},
            ],
        },
    )
