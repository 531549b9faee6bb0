"""A real API server on loopback for tests: no privileges, random ports, several at once, gone with its owner."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from local_cluster import binaries, ports, supervision
from local_cluster.api import Api, wait
from local_cluster.controlplane import ControlPlane
from local_cluster.kwok import kwok
from local_cluster.program import Program
from local_cluster.report import Failure, Stopwatch, tail


class ApiLevel:
    """etcd and kube-apiserver, on demand also controller-manager, scheduler and kwok, as a context manager.

    Everything ends when the `with` block does, and also when the owning process is killed: the supervisor holds a pipe
    from it. `kubeconfig` is the administrator's, `etcd` the store's URL. Without `controllers` nobody makes service
    accounts, so pods may be created without one. `flags` are further ones of kube-apiserver, such as those of an audit
    log.
    """

    def __init__(
        self,
        *,
        controllers: bool = False,
        scheduler: bool = False,
        kwok: bool = False,
        flags: Sequence[str] = (),
        folder: Path | None = None,
        owned: bool = True,
    ) -> None:
        self.controllers = controllers
        self.scheduler = scheduler
        self.kwok = kwok
        self.flags = flags
        self.owned = owned
        self.folder = folder or Path(tempfile.mkdtemp(prefix="mlservice-api-"))
        self.kubeconfig = self.folder / "pki" / "admin.kubeconfig"
        self.etcd = ""
        self.supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def api(self) -> Api:
        """A client of the API server as administrator."""
        return Api(self.kubeconfig)

    @property
    def names(self) -> list[str]:
        """The programs of this level, in the order of their start."""
        optional = {
            "kube-controller-manager": self.controllers,
            "kube-scheduler": self.scheduler,
            "kwok": self.kwok,
        }
        return ["etcd", "kube-apiserver", *(name for name, wanted in optional.items() if wanted)]

    def start(self) -> None:
        """Start the programs and wait until the API server, and with controllers the default account, is there."""
        binaries.ensure(*self.names)
        try:
            self._launch()
            wait("The API server's /readyz", self._is_ready, 60, self._explain)
        except BaseException:
            self.stop()
            raise

    def up(self, watch: Stopwatch) -> None:
        """Start a level that outlives this process, unless it runs already; one that does not answer is replaced."""
        if supervision.running_in(self.folder) and self.api.is_ready():
            watch.say(f"The API level runs already: https://{self.api.host}")
            return
        self.stop()
        self.folder.mkdir(parents=True)
        self.start()
        watch.say(f"The API level is ready: https://{self.api.host}")

    def stop(self) -> None:
        """End every program and remove the folder."""
        if self.supervisor is not None:
            assert self.supervisor.stdin is not None
            self.supervisor.stdin.close()
            if self.owned:
                self.supervisor.wait()
            self.supervisor = None
        supervision.stop(self.folder, signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def pid(self, name: str) -> int:
        """The process of a program, for tests that kill it: the supervisor starts it again after a second."""
        state = supervision.program(self.folder, name)
        if state is None:
            raise Failure(f"{name} was not started.", f"Started are: {', '.join(self.names)}")
        return int(state["pid"])

    def log(self, name: str) -> Path:
        """The log file of a program."""
        return self.folder / "log" / f"{name}.log"

    def _launch(self) -> None:
        etcd, peer, port, controllers, scheduler, kwok_port = ports.free(6)
        self.etcd = f"http://127.0.0.1:{etcd}"
        plane = ControlPlane(self.folder, "127.0.0.1", port, etcd, peer, controllers, scheduler)
        plane.write_pki()
        # A loopback address is not allowed in the endpoints of the Service `kubernetes`, so nobody keeps them.
        more = ["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"]
        if not self.controllers:
            more.append("--disable-admission-plugins=ServiceAccount")
        programs: list[Program] = [plane.etcd(), plane.kube_apiserver(*more, *self.flags)]
        if self.controllers:
            programs.append(plane.kube_controller_manager())
        if self.scheduler:
            programs.append(plane.kube_scheduler())
        if self.kwok:
            programs.append(kwok(self.kubeconfig, kwok_port, plane.ready))
        plan = supervision.Plan(self.folder, programs, prepare=[], owned=self.owned, remove=self.owned)
        self.supervisor = supervision.start(plan)
        supervision.go(self.supervisor)

    def _is_ready(self) -> bool:
        if self.supervisor is not None and self.supervisor.poll() is not None:
            raise Failure("The supervisor of the API level ended.", tail(self.log("supervisor")))
        api = self.api
        return api.is_ready() and (
            not self.controllers or api.get("/api/v1/namespaces/default/serviceaccounts/default") is not None
        )

    def _explain(self) -> str:
        return "\n".join(f"{name} said last:\n{tail(self.log(name))}" for name in self.names)
