"""What the tool says when something is in its way: what is wrong, where, and what to do next."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from local_cluster import binaries, cluster, packages, ports
from local_cluster.network import Network
from local_cluster.report import Failure, Stopwatch
from local_cluster.state import State
from side_cluster import assert_same, ip, machine, tool


@pytest.fixture
def listener() -> socket.socket:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def test_without_root_it_names_sudo_and_the_level_that_needs_none() -> None:
    with pytest.raises(Failure, match=r"needs root, this is user 1000") as failure:
        cluster.require_root(1000)
    assert "--level api" in failure.value.todo


def test_a_taken_port_is_said_with_its_holder_and_leaves_nothing(listener: socket.socket, tmp_path: Path) -> None:
    port = listener.getsockname()[1]
    state = State(tmp_path / "s")
    before = machine(state)
    done = tool("up", "--state", str(state.root), "--network", "4", "--http-port", str(port))
    assert done.returncode == 1
    assert f"Port {port} of 127.0.0.1 is taken by" in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert "--http-port 8080" in done.stderr
    assert_same(before, machine(state))


def test_a_network_in_use_is_said_with_its_device_and_leaves_nothing(tmp_path: Path) -> None:
    network = Network(5)
    state = State(tmp_path / "s")
    ip("link", "add", "taken0", "type", "veth", "peer", "name", "taken1")
    try:
        ip("address", "add", f"{network.first_service}/24", "dev", "taken0")
        ip("link", "set", "taken0", "up")
        before = machine(state)
        done = tool("up", "--state", str(state.root), "--network", "5", "--http-port", str(ports.free(1)[0]))
        assert done.returncode == 1
        assert f"{network.services} is in use" in done.stderr
        assert "taken0" in done.stderr
        assert "--network" in done.stderr
        assert_same(before, machine(state))
    finally:
        ip("link", "delete", "taken0")


def test_down_where_nothing_was_leaves_the_cluster_of_another_folder_alone(tmp_path: Path) -> None:
    made = not Network().has_link()
    if made:
        ip("link", "add", Network().host_device, "type", "veth", "peer", "name", Network().node_device)
    try:
        assert tool("down", "--state", str(tmp_path)).returncode == 0
        assert Network().has_link()
    finally:
        if made:
            ip("link", "delete", Network().host_device)


def test_a_folder_with_too_long_a_path_is_refused() -> None:
    with pytest.raises(Failure, match="Linux allows 107"):
        State(Path("/tmp") / ("x" * 80))


def test_missing_packages_without_root_or_without_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failure, match="only root can install them: no-such-package") as failure:
        packages.require({"no-such-program": "no-such-package"}, Stopwatch(), uid=1000)
    assert "sudo apt-get install" in failure.value.todo
    monkeypatch.setattr(packages, "SEARCH", "/nonexistent")
    with pytest.raises(Failure, match="there is no apt-get"):
        packages.require({"no-such-program": "no-such-package"}, Stopwatch(), uid=0)


def test_services_may_not_start_while_packages_are_installed(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with packages.services_stay_stopped(policy):
        assert subprocess.run([policy], check=False).returncode == 101
        # A file that a killed run left forbids nothing.
        policy.write_text(policy.read_text().replace(f"/proc/{os.getpid()}", "/proc/nobody"))
        assert subprocess.run([policy], check=False).returncode == 0
    assert not policy.exists()
    policy.write_text("#!/bin/sh\nexit 101 # the owner of this machine wants it so\n")
    with packages.services_stay_stopped(policy):
        pass
    assert policy.exists()


def test_a_module_proxy_that_does_not_answer(tmp_path: Path) -> None:
    nowhere = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "GOMODCACHE": str(tmp_path / "modules"),
        "GOPROXY": "http://127.0.0.1:1",
    }
    done = tool("path", "kind", **nowhere)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Building kind failed" in done.stderr
    assert "The Go module proxy did not answer" in done.stderr
    assert not list((tmp_path / "cache").rglob("build-*"))


def test_no_go(tmp_path: Path) -> None:
    done = tool("path", "kubectl", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "`go` is not on PATH" in done.stderr


def test_a_disk_that_a_cold_build_would_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(binaries, "COLD_BUILD_BYTES", 10**18)
    with pytest.raises(Failure, match="GB free") as failure:
        binaries.ensure("kube-apiserver")
    assert "XDG_CACHE_HOME" in failure.value.todo


def test_kind_without_a_docker_engine_names_the_alternatives(tmp_path: Path) -> None:
    done = tool("up", CLUSTER="kind", DOCKER_HOST="unix:///nonexistent")
    assert done.returncode == 1
    assert "CLUSTER=kind" in done.stderr
    assert "CLUSTER=local" in done.stderr
    assert "CLUSTER=current" in done.stderr


def test_a_current_cluster_that_does_not_answer(tmp_path: Path) -> None:
    done = tool("up", CLUSTER="current", KUBECONFIG=str(tmp_path / "none"))
    assert done.returncode == 1
    assert "CLUSTER=current" in done.stderr
    assert "use-context" in done.stderr


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    assert "kubelet" in tool("path", "cubelet").stderr
    assert "local, kind or current" in tool("up", CLUSTER="nomad").stderr
    assert "busybox" in tool("load", "bussybox").stderr
