"""The node level: a whole Kubernetes in one sandbox of this machine, brought up, healed and taken down."""

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from local_cluster import (
    checkout,
    containerd,
    dns,
    gateway,
    images,
    kubelet,
    ports,
    supervision,
)
from local_cluster.api import Api, wait
from local_cluster.controlplane import ControlPlane
from local_cluster.images.load import load
from local_cluster.network import Network
from local_cluster.program import Program
from local_cluster.report import Failure, Stopwatch, tail
from local_cluster.sandbox import Sandbox
from local_cluster.settings import Settings
from local_cluster.state import DEFAULT, State

KEPT_BY_DOWN = {"containerd", "lock"}


class Cluster:
    """The cluster of a state folder with the settings of its last or its next `up`."""

    def __init__(self, state: State, settings: Settings) -> None:
        self.state = state
        self.settings = settings
        self.network = Network(settings.network)
        self.sandbox = Sandbox(state, self.network)
        self.plane = ControlPlane(
            state.root,
            address=self.network.node,
            port=6443,
            etcd_port=2379,
            etcd_peer_port=2380,
            controller_manager_port=10257,
            scheduler_port=10259,
            services=self.network.services,
            first_service=self.network.first_service,
        )

    @property
    def api(self) -> Api:
        """A client of the API server as administrator, through 127.0.0.1."""
        return Api(self.state.kubeconfig)

    def up(self, watch: Stopwatch) -> None:
        """Start what does not run, and wait until pods can be scheduled and routes be served."""
        before = Settings.read(self.state)
        if before is not None and before.network != self.settings.network:
            raise Failure(
                f"The cluster in {self.state.root} has network {before.network}; it cannot move to another one.",
                "Run `down` first, or use another folder with --state.",
            )
        if not self.sandbox.pids() and not ports.is_free(self.settings.api_port):
            self.settings = dataclasses.replace(self.settings, api_port=ports.free(1)[0])
        plan = self.plan()
        if self.sandbox.pids() and not self.runs(plan):
            watch.say("The cluster runs with other settings or programs: starting it again")
            self.sandbox.stop()
        if self.sandbox.pids() and not (self.network.has_link() and self._answers(20)):
            watch.say("The cluster runs but does not answer: starting it again")
            self.sandbox.stop()
        if not self.sandbox.pids():
            self._start(plan, watch)
        self.settings.write(self.state)
        self._settle(watch)

    def down(self) -> None:
        """End the cluster and remove all that it left but the image store."""
        self.sandbox.stop()
        self.sandbox.clean()
        checkout.withdraw(self.state.kubeconfig)
        for path in self.state.root.iterdir():
            if path.name not in KEPT_BY_DOWN:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def plan(self) -> supervision.Plan:
        """Write certificates and configurations, and return what the supervisor shall run."""
        self.state.etc.mkdir(parents=True, exist_ok=True)
        authority = self.plane.write_pki()
        authority.kubeconfig("host", f"https://127.0.0.1:{self.settings.api_port}", "admin", "system:masters")
        pki = self.state.pki
        programs = [
            self.plane.etcd(),
            self.plane.kube_apiserver(
                f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
                f"--kubelet-client-key={pki / 'kubelet-client.key'}",
                f"--kubelet-certificate-authority={pki / 'ca.crt'}",
                "--kubelet-preferred-address-types=InternalIP",
            ),
            self.plane.kube_controller_manager(),
            self.plane.kube_scheduler(),
            containerd.containerd(self.state, self.network),
            kubelet.kubelet(self.state, self.network, authority, self.plane, self.sandbox.cgroup),
            kubelet.kube_proxy(self.state, self.network, authority, self.plane),
            dns.dns(self.state, self.network, authority, self.plane),
            gateway.traefik(self.state, authority, self.plane, self.settings.http_port),
            self.forward(),
        ]
        return supervision.Plan(self.state.root, programs, self.sandbox.prepare(), owned=False)

    def forward(self) -> Program:
        """The forwarder from 127.0.0.1 to the API server."""
        script = Path(__file__).with_name("forward.py")
        argv = [
            sys.executable,
            "-I",
            "-S",
            str(script),
            str(self.settings.api_port),
            self.network.node,
            str(self.plane.port),
        ]
        return Program("forward", argv, on_host_network=True)

    def runs(self, plan: supervision.Plan) -> bool:
        """Does the running supervisor have this plan?"""
        path = self.state.root / "run.json"
        if not path.exists():
            return False
        running = json.loads(path.read_text())
        return bool(
            running["programs"] == [program.as_json() for program in plan.programs]
            and running["prepare"] == plan.prepare
        )

    def _start(self, plan: supervision.Plan, watch: Stopwatch) -> None:
        self._check_neighbours()
        self.network.check()
        if not ports.is_free(self.settings.http_port):
            raise Failure(
                f"Port {self.settings.http_port} of 127.0.0.1 is taken by {ports.holder(self.settings.http_port)}.",
                "Stop it, or choose another port, for example --http-port 8080; the URLs of services carry it then.",
            )
        # From here on `down` has something to remove, and only now is it certain that it belongs to no other cluster.
        self.settings.write(self.state)
        # The addresses of pods whose sandboxes ended with the old namespaces.
        shutil.rmtree(self.state.root / "cni", ignore_errors=True)
        self.state.containerd_socket.unlink(missing_ok=True)
        self.sandbox.start(plan)
        watch.say(f"Started {len(plan.programs)} programs in {self.state.root}")

    def _check_neighbours(self) -> None:
        for root in set(supervision.running().values()):
            other = Settings.read(State(root)) if (root / "cluster.json").exists() else None
            if other is not None and other.network == self.settings.network and root != self.state.root:
                raise Failure(
                    f"Another cluster, in {root}, has the network {self.network.link}.",
                    f"Stop it (python -m local_cluster down --state {root}), or choose --network "
                    f"{self.settings.network + 1} for this one.",
                )

    def _settle(self, watch: Stopwatch) -> None:
        self.network.lay_fallbacks()
        self.network.lay_routes()
        self._wait("containerd", "containerd", lambda: containerd.answers(self.state), 20)
        load(self.state, images.build("pause", watch), watch)
        if self.state.root == DEFAULT:
            checkout.publish(self.state.kubeconfig)
        api = self.api
        # Creating definitions is half of the work of a start; done now, it fills the time in which one core idles.
        self._wait("The API server", "kube-apiserver", api.is_serving, 60)
        gateway.apply_definitions(api)
        self._wait("The API server", "kube-apiserver", api.is_ready, 60)
        watch.say(f"The API server is ready: {self.plane.url}")
        self._wait("The Gateway API", "kube-apiserver", lambda: gateway.is_served(api), 20)
        gateway.let_traefik_start(self.state)
        gateway.apply_gateway(api, self.settings.http_port)
        dns.apply_service(api, self.network)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait("The default account", "kube-controller-manager", lambda: api.get(account) is not None, 30)
        self._wait(f"Node {kubelet.NODE}", "kubelet", lambda: kubelet.is_ready(api), 60)
        kubelet.pretend_gpus(api, self.settings.gpus)
        gpus = f"{self.settings.gpus} make-believe nvidia.com/gpu (pods schedule onto it, nothing computes on it)"
        watch.say(f"Node {kubelet.NODE} is Ready, with {gpus}")
        self._wait("The Gateway", "traefik", lambda: gateway.is_programmed(api), 60)
        watch.say(f"Gateway {gateway.NAMESPACE}/mlservice listens on 127.0.0.1:{self.settings.http_port}")

    def _answers(self, seconds: float) -> bool:
        try:
            wait("An answer", self.api.is_ready, seconds, str)
        except Failure:
            return False
        return True

    def _wait(self, what: str, program: str, condition: Callable[[], bool], seconds: float) -> None:
        def explain() -> str:
            return f"Log of {program} ({self.state.log / program}.log):\n{tail(self.state.log / f'{program}.log')}"

        def reached() -> bool:
            self.sandbox.check()
            try:
                return condition()
            except OSError:
                return False

        wait(what, reached, seconds, explain)


def require_root(uid: int) -> None:
    """A Failure when the user is not root: the node level makes namespaces, links and routes."""
    if uid != 0:
        raise Failure(
            f"The node level needs root, this is user {uid}.",
            "Run the same command with sudo. The API level needs no root: python -m local_cluster up --level api",
        )
