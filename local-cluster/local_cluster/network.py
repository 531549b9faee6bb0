"""The addresses of a node level cluster, and the host's end of its link."""

import ipaddress
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local_cluster.packages import find
from local_cluster.report import Failure

LAST_INDEX = 6
FALLBACK_METRIC = "9999"


@dataclass(frozen=True)
class Network:
    """The networks of the cluster number `index`: several clusters live side by side, each with a number of its own."""

    index: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.index <= LAST_INDEX:
            raise Failure(f"There is no network {self.index}.", f"Choose a number from 0 to {LAST_INDEX}.")

    @property
    def link(self) -> str:
        """The network between host and node."""
        return f"10.{89 + self.index}.0.0/30"

    @property
    def host(self) -> str:
        """The host's address as the cluster sees it."""
        return f"10.{89 + self.index}.0.1"

    @property
    def node(self) -> str:
        """The node's address."""
        return f"10.{89 + self.index}.0.2"

    @property
    def pods(self) -> str:
        """The network of all pods."""
        return f"10.{244 + self.index}.0.0/16"

    @property
    def node_pods(self) -> str:
        """The part of the pods' network that belongs to node-1."""
        return f"10.{244 + self.index}.0.0/24"

    @property
    def services(self) -> str:
        """The network of ClusterIPs."""
        return f"10.{96 + self.index}.0.0/16"

    @property
    def first_service(self) -> str:
        """The ClusterIP of the Service `kubernetes`."""
        return f"10.{96 + self.index}.0.1"

    @property
    def dns(self) -> str:
        """The ClusterIP of the cluster's DNS."""
        return f"10.{96 + self.index}.0.10"

    @property
    def host_device(self) -> str:
        """The name of the host's end of the link."""
        return f"mlservice{self.index}"

    @property
    def node_device(self) -> str:
        """The name of the node's end of the link."""
        return f"mlservice{self.index}n"

    def check(self) -> None:
        """A Failure when one of the networks, or a part of it, already leads somewhere else."""
        for route in json.loads(ip("-4", "-json", "route", "show", "table", "all")):
            if route.get("dev") == self.host_device or route.get("type") == "unreachable" or route["dst"] == "default":
                continue
            destination = ipaddress.IPv4Network(route["dst"], strict=False)
            for ours in (self.link, self.pods, self.services):
                if destination.subnet_of(ipaddress.IPv4Network(ours)):
                    raise Failure(
                        f"The cluster's network {ours} is in use: {route['dst']} leads to {route.get('dev', '?')}.",
                        f"Choose another one with --network 1 (up to {LAST_INDEX}).",
                    )

    def lay(self, pid: int) -> None:
        """Make the link to the network namespace of a process, and the routes to pods and services behind it."""
        self.lay_fallbacks()
        ip("link", "add", self.host_device, "type", "veth", "peer", "name", self.node_device)
        ip("link", "set", self.node_device, "netns", str(pid))
        ip("address", "add", f"{self.host}/30", "dev", self.host_device)
        ip("link", "set", self.host_device, "up")
        self.lay_routes()

    def lay_fallbacks(self) -> None:
        """Refuse what is sent to the cluster while it is dead: it must not leave through the default route."""
        for network in (self.link, self.pods, self.services):
            ip("route", "replace", "unreachable", network, "metric", FALLBACK_METRIC)

    def lay_routes(self) -> None:
        """Lead pod addresses and ClusterIPs to the node."""
        for network in (self.pods, self.services):
            ip("route", "replace", network, "via", self.node, "dev", self.host_device)

    def has_link(self) -> bool:
        """Is the link there?"""
        return (Path("/sys/class/net") / self.host_device).exists()

    def remove_link(self) -> None:
        """Remove the link and with it its routes, if it is there."""
        try_ip("link", "delete", self.host_device)

    def remove(self) -> None:
        """Remove everything that was laid."""
        self.remove_link()
        for network in (self.link, self.pods, self.services):
            try_ip("route", "delete", "unreachable", network, "metric", FALLBACK_METRIC)

    def inside(self) -> list[list[str]]:
        """The commands with which the node configures its end of the link; it gets no way to the outside."""
        program = find("ip") or "ip"
        return [
            [program, "link", "set", "lo", "up"],
            [program, "address", "add", f"{self.node}/30", "dev", self.node_device],
            [program, "link", "set", self.node_device, "up"],
            ["/bin/sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"],
        ]


def ip(*arguments: str) -> str:
    """Run `ip`; a Failure with its message when it fails."""
    done = try_ip(*arguments)
    if done.returncode != 0:
        raise Failure(
            f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}",
            "The node level changes links and routes of this machine: it needs root with CAP_NET_ADMIN.",
        )
    return done.stdout


def try_ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `ip` and leave its exit status to the caller."""
    return subprocess.run([find("ip") or "ip", *arguments], check=False, capture_output=True, text=True)
