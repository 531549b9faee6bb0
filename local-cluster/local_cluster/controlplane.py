"""The programs of a control plane: etcd, API server, controller-manager, scheduler."""

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from local_cluster import binaries, files
from local_cluster.pki import Authority
from local_cluster.program import Program

ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class ControlPlane:
    """Where a control plane listens and keeps its files; `address` is the one that its clients use."""

    folder: Path
    address: str
    port: int
    etcd_port: int
    etcd_peer_port: int
    controller_manager_port: int
    scheduler_port: int
    services: str = "10.96.0.0/16"
    first_service: str = "10.96.0.1"
    names: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The API server's URL for its clients."""
        return f"https://{self.address}:{self.port}"

    @property
    def ready(self) -> str:
        """The URL that answers 200 once the API server is ready, also to the anonymous."""
        return f"{self.url}/readyz"

    @property
    def listening(self) -> str:
        """The URL that accepts connections early: they are held until the API server serves."""
        return f"tcp://{self.address}:{self.port}"

    @property
    def pki(self) -> Path:
        """The folder of certificates and kubeconfigs."""
        return self.folder / "pki"

    def write_pki(self) -> Authority:
        """Write the certificates of these programs; the authority and the service account key stay when they exist."""
        authority = Authority(self.pki)
        dns = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        hosts = ["localhost", *dns, "127.0.0.1", self.first_service, self.address, *self.names]
        authority.serving("kube-apiserver", hosts)
        authority.client("kubelet-client", "kube-apiserver", "system:masters")
        for name in ("kube-controller-manager", "kube-scheduler"):
            authority.kubeconfig(name, self.url, f"system:{name}")
        authority.kubeconfig("admin", self.url, "admin", "system:masters")
        authority.service_account_key()
        return authority

    def etcd(self) -> Program:
        """The store; it does not sync to disk, because a lost write of a throw-away cluster costs nothing."""
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.etcd_peer_port}"
        return Program(
            "etcd",
            [
                str(binaries.path("etcd")),
                "--name=etcd",
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=etcd={peer}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
        )

    def kube_apiserver(self, *more: str) -> Program:
        """The API server; `more` are further flags."""
        return Program(
            "kube-apiserver",
            [
                str(binaries.path("kube-apiserver")),
                f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
                f"--secure-port={self.port}",
                f"--advertise-address={self.address}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                f"--service-cluster-ip-range={self.services}",
                f"--service-account-issuer={ISSUER}",
                f"--service-account-key-file={self.pki / 'sa.pub'}",
                f"--service-account-signing-key-file={self.pki / 'sa.key'}",
                f"--client-ca-file={self.pki / 'ca.crt'}",
                # Nobody has this name; without the flags the other programs log every few seconds that they are unset.
                f"--requestheader-client-ca-file={self.pki / 'ca.crt'}",
                "--requestheader-allowed-names=front-proxy-client",
                f"--tls-cert-file={self.pki / 'kube-apiserver.crt'}",
                f"--tls-private-key-file={self.pki / 'kube-apiserver.key'}",
                *more,
            ],
            # Its start makes much garbage: half as many collections cost memory and save a second.
            env={"GOGC": "200"},
        )

    def kube_controller_manager(self) -> Program:
        """The controllers; started once the API server is ready, because earlier it ends for lack of its role."""
        kubeconfig = self.pki / "kube-controller-manager.kubeconfig"
        return Program(
            "kube-controller-manager",
            [
                str(binaries.path("kube-controller-manager")),
                f"--kubeconfig={kubeconfig}",
                f"--authentication-kubeconfig={kubeconfig}",
                f"--authorization-kubeconfig={kubeconfig}",
                "--bind-address=127.0.0.1",
                f"--secure-port={self.controller_manager_port}",
                f"--service-account-private-key-file={self.pki / 'sa.key'}",
                f"--root-ca-file={self.pki / 'ca.crt'}",
                f"--cluster-signing-cert-file={self.pki / 'ca.crt'}",
                f"--cluster-signing-key-file={self.pki / 'ca.key'}",
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                "--kube-api-qps=500",
                "--kube-api-burst=1000",
                "--pvclaimbinder-sync-period=1s",
            ],
            after=self.ready,
        )

    def kube_scheduler(self) -> Program:
        """The scheduler."""
        kubeconfig = self.pki / "kube-scheduler.kubeconfig"
        configuration = self.folder / "kube-scheduler.yaml"
        manifest = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 500, "burst": 1000},
            "leaderElection": {"leaderElect": False},
        }
        files.write(configuration, yaml.safe_dump(manifest, sort_keys=False))
        return Program(
            "kube-scheduler",
            [
                str(binaries.path("kube-scheduler")),
                f"--config={configuration}",
                "--bind-address=127.0.0.1",
                f"--secure-port={self.scheduler_port}",
                f"--authentication-kubeconfig={kubeconfig}",
                f"--authorization-kubeconfig={kubeconfig}",
            ],
            after=self.ready,
        )
