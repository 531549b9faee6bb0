"""The namespaces in which the whole node runs: one process owns them, and with it everything in them ends.

Inside, PID 1 is the supervisor. Mounts, links and packet filter rules belong to the namespaces; control groups, routes
of the host and a few empty folders do not, and are removed by hand.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from local_cluster import cgroups, supervision
from local_cluster.network import Network
from local_cluster.packages import find
from local_cluster.report import Failure, tail
from local_cluster.state import State

# Folders that containerd and the kubelet use under fixed names; the node sees its own ones there.
FOLDERS = {
    "/var/lib/cni": "cni",
    "/var/lib/kubelet": "kubelet-default",  # device-plugins, whatever --root-dir says
    "/var/log/pods": "log/pods",
    "/var/log/containers": "log/containers",
}
# The kubelet sets these for the whole machine; the node sees copies.
SYSCTLS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


class Sandbox:
    """The namespaces of one state folder."""

    def __init__(self, state: State, network: Network) -> None:
        self.state = state
        self.network = network
        self.cgroup = f"mlservice-{network.index}"

    def pids(self) -> list[int]:
        """The owner of the namespaces and their PID 1, as the host numbers them; empty when nothing runs."""
        return supervision.running_in(self.state.root)

    def prepare(self) -> list[list[str]]:
        """What PID 1 runs before it starts the first program."""
        mount = find("mount") or "mount"
        commands = [
            [mount, "--make-rshared", "/"],
            [mount, "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"],
            ["/bin/mkdir", "-p", "/run/netns", "/run/lock"],
        ]
        commands += [[mount, "--bind", str(self.state.root / own), folder] for folder, own in FOLDERS.items()]
        commands += [
            [mount, "--bind", str(self.state.etc / "sysctl" / name), f"/proc/sys/{name}"] for name in self._sysctls()
        ]
        return [*commands, *self.network.inside()]

    def start(self, plan: supervision.Plan) -> None:
        """Start the supervisor in new namespaces, give it its end of the link, and let it begin."""
        self._make_folders()
        cgroups.make(self.cgroup)
        self.network.remove_link()
        host_network = os.open("/proc/self/ns/net", os.O_RDONLY)
        unshare = [find("unshare") or "unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"]
        process = supervision.start(plan, *unshare, inherit=host_network)
        os.close(host_network)
        try:
            self.network.lay(self._first_process(process))
            supervision.go(process)
        except BaseException:
            process.kill()
            process.wait()
            raise

    def stop(self) -> None:
        """End every process of the namespaces, and with them mounts, links and rules."""
        supervision.stop(self.state.root, signal.SIGKILL)

    def clean(self) -> None:
        """Remove what does not end with the namespaces."""
        self.network.remove()
        cgroups.remove(self.cgroup)
        made = self.state.root / "made.json"
        for folder in json.loads(made.read_text()) if made.exists() else []:
            if Path(folder).exists() and not any(Path(folder).iterdir()):
                Path(folder).rmdir()

    def check(self) -> None:
        """A Failure when the sandbox ended by itself."""
        if not self.pids():
            raise Failure("The cluster's sandbox ended.", f"Its log:\n{tail(self.state.log / 'supervisor.log')}")

    def _make_folders(self) -> None:
        made = self.state.root / "made.json"
        absent = [folder for folder in FOLDERS if not Path(folder).exists()]
        before = json.loads(made.read_text()) if made.exists() else []
        made.write_text(json.dumps(sorted({*before, *absent})))
        for folder, own in FOLDERS.items():
            Path(folder).mkdir(parents=True, exist_ok=True)
            (self.state.root / own).mkdir(parents=True, exist_ok=True)
        for name in self._sysctls():
            copy = self.state.etc / "sysctl" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text((Path("/proc/sys") / name).read_text())

    def _sysctls(self) -> list[str]:
        return [name for name in SYSCTLS if (Path("/proc/sys") / name).exists()]

    def _first_process(self, unshare: subprocess.Popen[bytes]) -> int:
        """The supervisor's pid: the only child of `unshare`, there once the namespaces are."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            children = supervision.children(unshare.pid)
            if children:
                return children[0]
            if unshare.poll() is not None:
                break
            time.sleep(0.01)
        raise Failure(
            f"Namespaces cannot be made here:\n{tail(self.state.log / 'supervisor.log', 5)}",
            "The node level needs root with CAP_SYS_ADMIN: in a container, run it privileged.",
        )
