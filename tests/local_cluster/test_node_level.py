"""A whole cluster: it runs pods and serves routes, heals, and leaves nothing. The tests build on each other."""

import errno
import os
import signal
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from local_cluster import images, ports, supervision
from local_cluster.images.load import load
from local_cluster.report import Stopwatch
from side_cluster import NETWORK, Running, assert_same, eventually, machine, tool

BUSYBOX = images.reference("busybox")


def pod_template(*command: str, **limits: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {"name": "main", "image": BUSYBOX, "command": list(command), "resources": {"limits": limits}}
            ],
        },
    }


WEB = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": pod_template(
                    "sh", "-c", "mkdir /www && echo it works > /www/index.html && exec httpd -f -p 8000 -h /www"
                ),
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]},
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "parentRefs": [{"name": "mlservice", "namespace": "mlservice-system"}],
                "hostnames": ["web.default.localhost"],
                "rules": [{"backendRefs": [{"name": "web", "port": 80}]}],
            },
        },
    ],
}


def content(url: str, host: str | None = None) -> str:
    """What a URL answers, or why it does not."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=2) as response:
            return str(response.read().decode().strip())
    except OSError as error:
        return str(error)


def is_unreachable(address: str) -> bool:
    try:
        socket.create_connection((address, 443), timeout=2).close()
    except OSError as error:
        return error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH)
    return False


def web_answers(cluster: Running) -> bool:
    return content(f"http://127.0.0.1:{cluster.http_port}", "web.default.localhost") == "it works"


@pytest.fixture(scope="module")
def web(running: Running) -> Running:
    """The cluster with a web server behind a Service and a route."""
    load(running.state, images.build("busybox"), Stopwatch())
    running.kubectl("apply", "-f", "-", given=WEB)
    running.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=60s")
    return running


def test_a_pod_is_reached_by_its_address_its_service_and_its_route(web: Running) -> None:
    pod = web.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].status.podIP}")
    service = web.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    eventually("the pod answers", lambda: content(f"http://{pod}:8000") == "it works")
    eventually("the Service answers", lambda: content(f"http://{service}") == "it works")
    eventually("the route answers", lambda: web_answers(web))


def test_a_pod_finds_services_by_name_and_nothing_outside(web: Running) -> None:
    inside = ["exec", "deployment/web", "--", "wget", "-q", "-O", "-"]
    assert web.kubectl(*inside, "http://web").strip() == "it works"
    assert web.kubectl(*inside, "http://web.default.svc.cluster.local").strip() == "it works"
    outside = web.kubectl("exec", "deployment/web", "--", "sh", "-c", "wget -O - http://192.0.2.1 2>&1; true")
    assert "Network is unreachable" in outside


def test_logs_come_through_the_api_server(web: Running) -> None:
    web.kubectl("run", "speaker", f"--image={BUSYBOX}", "--restart=Never", "--", "echo", "a word")
    eventually("the pod spoke", lambda: web.kubectl("logs", "speaker").strip() == "a word" if has_run(web) else False)


def has_run(cluster: Running) -> bool:
    return cluster.kubectl("get", "pod", "speaker", "-o", "jsonpath={.status.phase}") == "Succeeded"


def test_pods_are_scheduled_onto_make_believe_gpus_until_they_are_used_up(web: Running) -> None:
    for name in ("one", "two", "three"):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
        spec = pod_template("sleep", "1000", **{"nvidia.com/gpu": "1"})["spec"]
        web.kubectl("apply", "-f", "-", given={**pod, "spec": spec})
    web.kubectl("wait", "--for=condition=Ready", "pod/one", "pod/two", "--timeout=60s")
    path = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}"
    eventually("no third GPU", lambda: "Insufficient nvidia.com/gpu" in web.kubectl("get", "pod", "three", "-o", path))
    web.kubectl("delete", "pod", "one", "two", "three", "--wait=false")


def test_up_again_changes_nothing_and_takes_a_moment(web: Running) -> None:
    def everything() -> list[object]:
        programs = [file.read_text() for file in sorted((web.state.root / "run").glob("*.json"))]
        # Some programs end when their configuration is written again, be it with the same content.
        written = {file: file.stat().st_mtime_ns for file in web.state.etc.rglob("*") if file.is_file()}
        return [supervision.running_in(web.state.root), programs, written]

    before = everything()
    started = time.monotonic()
    web.up()
    assert time.monotonic() - started < 8
    assert everything() == before


def test_a_second_cluster_on_the_same_network_is_refused(web: Running, tmp_path: Path) -> None:
    port = str(ports.free(1)[0])
    done = tool("up", "--state", str(tmp_path), "--network", str(NETWORK.index), "--http-port", port)
    assert done.returncode == 1
    assert f"Another cluster, in {web.state.root}, has the network" in done.stderr
    assert f"--network {NETWORK.index + 1}" in done.stderr
    assert web_answers(web)


def test_the_kubelet_comes_back(web: Running) -> None:
    argument = f"--root-dir={web.state.root / 'kubelet'}"
    pid = web.pid(argument)
    os.kill(pid, signal.SIGKILL)
    eventually("a kubelet with another pid", lambda: web.pid_or_none(argument) not in (None, pid))


def test_status_shows_every_program_and_logs_the_last_words(web: Running) -> None:
    done = tool("status", "--state", str(web.state.root))
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("kubelet", "traefik", "node-1 Ready", "2 make-believe nvidia.com/gpu", f"127.0.0.1:{web.http_port}"):
        assert word in done.stdout
    done = tool("logs", "kubelet", "--state", str(web.state.root))
    assert done.returncode == 0
    assert "kubelet" in done.stdout
    done = tool("logs", "cubelet", "--state", str(web.state.root))
    assert done.returncode == 1
    assert "cubelet has no log" in done.stderr
    assert "kube-apiserver" in done.stderr


def test_a_killed_cluster_refuses_and_up_heals_it(web: Running) -> None:
    supervision.stop(web.state.root, signal.SIGKILL)
    with pytest.raises(ConnectionRefusedError):
        web.api.request("GET", "/readyz")
    for address in (NETWORK.node, NETWORK.first_service):
        eventually("the address leads nowhere", lambda where=address: is_unreachable(where), seconds=5)
    status = tool("status", "--state", str(web.state.root))
    assert status.returncode == 1
    assert "does not answer" in status.stdout

    web.up()
    eventually("the web server came back by itself", lambda: web_answers(web), seconds=60)


def test_down_leaves_nothing_but_the_images(web: Running) -> None:
    assert machine(web.state) != web.before
    web.down()
    assert_same(web.before, machine(web.state))
    assert sorted(path.name for path in web.state.root.iterdir()) == ["containerd", "lock"]
    web.down()


def test_purge_removes_the_images_too(web: Running) -> None:
    done = tool("down", "--purge", "--state", str(web.state.root))
    assert done.returncode == 0, done.stderr
    assert not Path(web.state.root).exists()
