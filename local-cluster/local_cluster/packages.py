"""Debian packages that the node level needs, installed on demand and without starting their services."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_cluster.report import Failure, Stopwatch

SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
CNI = Path("/usr/lib/cni")
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_MARK = "# written by local_cluster for one run of apt-get"
NODE_LEVEL = {
    "containerd": "containerd",
    "runc": "runc",
    str(CNI / "bridge"): "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "unshare": "util-linux",
    "mount": "mount",
}
# Packages whose postinst starts a service and enables it for the next boot.
SERVICES = {"containerd": "containerd.service"}
UNREACHABLE = ("Could not resolve", "Failed to fetch", "Unable to locate package", "Could not connect")


def find(program: str) -> str | None:
    """The path of a program, also where only root looks for it."""
    return shutil.which(program, path=SEARCH)


def missing(programs: dict[str, str]) -> list[str]:
    """The packages of those programs that are not on this machine."""
    return sorted({package for program, package in programs.items() if not find(program)})


def require(programs: dict[str, str], watch: Stopwatch, uid: int | None = None) -> None:
    """Install the packages of missing programs with apt-get; `programs` maps a program to its Debian package."""
    packages = missing(programs)
    if not packages:
        return
    names = " ".join(packages)
    if not find("apt-get"):
        raise Failure(
            f"These programs are missing: {', '.join(p for p in programs if not find(p))}; and there is no apt-get.",
            f"Install what Debian calls {names} with this machine's package manager, then run the same command again.",
        )
    if (os.getuid() if uid is None else uid) != 0:
        raise Failure(
            f"Debian packages are missing and only root can install them: {names}.",
            f"Run: sudo apt-get install --no-install-recommends {names}",
        )
    watch.say(f"Installing Debian packages: {names}")
    with services_stay_stopped():
        code, output = apt_get("install", *packages)
        if code != 0:  # the package lists may be missing or old
            apt_get("update")
            code, output = apt_get("install", *packages)
    if code != 0:
        raise install_failure(names, output)
    for package in packages:
        if package in SERVICES and find("systemctl"):
            subprocess.run(["systemctl", "--quiet", "disable", SERVICES[package]], check=False, capture_output=True)


def apt_get(verb: str, *packages: str) -> tuple[int, str]:
    """Run apt-get; returns its exit status and its output."""
    command = ["apt-get", verb, "-y", "-q", "-o", "DPkg::Lock::Timeout=300"]
    if verb == "install":
        command += ["--no-install-recommends", *packages]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def install_failure(names: str, output: str) -> Failure:
    """What to say about a failed installation, judged by the output of apt-get."""
    if any(sign in output for sign in UNREACHABLE):
        todo = "The package archive did not answer: see /etc/apt and the network, then run the same command again."
    elif "No space left" in output:
        todo = "The disk is full: free some space, then run the same command again."
    else:
        todo = f"Try it by hand: apt-get install --no-install-recommends {names}"
    last = "\n".join(f"    {line}" for line in output.splitlines()[-12:])
    return Failure(f"apt-get could not install {names}:\n{last}", todo)


@contextmanager
def services_stay_stopped(policy: Path = POLICY) -> Iterator[None]:
    """Forbid packages to start services meanwhile; a policy that the machine's owner wrote stays as it is.

    The file forbids only while this process lives, so that one left by a killed run does no harm.
    """
    ours = not policy.exists() or POLICY_MARK in policy.read_text()
    if ours:
        policy.write_text(f"#!/bin/sh\n{POLICY_MARK}\n[ -d /proc/{os.getpid()} ] && exit 101\nexit 0\n")
        policy.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            policy.unlink(missing_ok=True)
