"""What `status` prints."""

import http.client
import time
from pathlib import Path

from local_cluster import checkout, containerd, gateway, kubelet, supervision
from local_cluster.cluster import Cluster
from local_cluster.report import Failure
from local_cluster.state import DEFAULT, State


def node_level(cluster: Cluster) -> tuple[str, bool]:
    """A description of a running cluster, and whether all of it is well."""
    state, settings = cluster.state, cluster.settings
    try:
        api = cluster.api
        ready = api.is_ready()
        node = ready and kubelet.is_ready(api)
        routed = ready and gateway.is_programmed(api)
        images = len([name for name in containerd.images(state) if not name.startswith("sha256:")])
    except (Failure, OSError, http.client.HTTPException) as error:
        return f"The cluster in {state.root} does not answer: {error}\n\n{programs(state.root)}", False
    facts = {
        "CLUSTER": f"node level in {state.root}, node {cluster.network.node}, pods {cluster.network.pods}, "
        f"services {cluster.network.services}",
        "API": f"{word(ready, 'ready')}, https://{api.host}, kubeconfig {shown(kubeconfig(state))}",
        "NODE": f"{kubelet.NODE} {word(node, 'Ready')}, {settings.gpus} make-believe nvidia.com/gpu",
        "GATEWAY": f"{gateway.NAMESPACE}/mlservice {word(routed, 'Programmed')}, 127.0.0.1:{settings.http_port}",
        "IMAGES": f"{images} in {state.containerd}",
    }
    lines = [f"{name:<9}{fact}" for name, fact in facts.items()]
    return "\n".join([*lines, "", programs(state.root)]), ready and node and routed


def programs(folder: Path) -> str:
    """A table of the programs that a supervisor runs."""
    lines = [f"{'PROGRAM':<25}{'PID':>8}{'RESTARTS':>10}{'UP':>8}{'MEMORY':>10}"]
    pids = {inner_pid(pid): pid for parent in supervision.running_in(folder) for pid in supervision.children(parent)}
    for file in sorted((folder / "run").glob("*.json")):
        program = supervision.program(folder, file.stem)
        if program is None:
            continue
        pid = pids.get(program["pid"])
        up = duration(time.time() - program["started"]) if pid else "down"
        lines.append(f"{file.stem:<25}{pid or '-':>8}{program['restarts']:>10}{up:>8}{memory(pid) if pid else '-':>10}")
    return "\n".join(lines)


def inner_pid(pid: int) -> int:
    """The number of a process in its own namespace, given the host's."""
    return int(fact(pid, "NSpid").split()[-1])


def memory(pid: int) -> str:
    """The resident memory of a process."""
    return f"{int(fact(pid, 'VmRSS').split()[0]) // 1024} MiB"


def fact(pid: int, name: str) -> str:
    """A line of /proc/PID/status; zero when the process is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return line.split(":", 1)[1]
    except OSError:
        pass
    return "0"


def duration(seconds: float) -> str:
    """Seconds in the form of kubectl's AGE."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.0f}s"


def word(holds: bool, text: str) -> str:
    """The word, or its opposite."""
    return text if holds else f"not {text}"


def kubeconfig(state: State) -> Path:
    """The kubeconfig that users are pointed to: the checkout's, unless the cluster is a second one."""
    return checkout.KUBECONFIG if state.root == DEFAULT else state.kubeconfig


def shown(path: Path) -> str:
    """A path as seen from the current folder, if it is below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
