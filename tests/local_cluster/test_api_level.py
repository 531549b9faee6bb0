"""The API level: real, several at once, and gone with whoever started it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from local_cluster import kwok, supervision
from local_cluster.apiserver import ApiLevel
from side_cluster import eventually

OWNER = """
import sys, time
from local_cluster.apiserver import ApiLevel
level = ApiLevel()
level.start()
print(level.folder, flush=True)
time.sleep(600)
"""


def test_two_at_once_know_nothing_of_each_other() -> None:
    with ApiLevel() as one, ApiLevel() as other:
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine"}}
        one.api.create("/api/v1/namespaces", space)
        assert one.api.get("/api/v1/namespaces/mine") is not None
        assert other.api.get("/api/v1/namespaces/mine") is None
    assert not one.folder.exists()
    assert not supervision.running_in(one.folder)


def test_it_ends_with_its_owner_even_when_that_one_is_killed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    programs = [supervision.program(folder, name) for name in ("etcd", "kube-apiserver")]
    pids = [program["pid"] for program in programs if program]
    assert len(pids) == 2
    assert supervision.running_in(folder)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    eventually("the folder is gone", lambda: not folder.exists(), seconds=10)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_its_programs_end_with_a_killed_supervisor() -> None:
    level = ApiLevel()
    level.start()
    pids = [level.pid(name) for name in level.names]
    for supervisor in supervision.running_in(level.folder):
        os.kill(supervisor, signal.SIGKILL)
    eventually("etcd and API server are gone", lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10)
    level.stop()
    assert not level.folder.exists()


def test_a_killed_api_server_comes_back_and_kwok_runs_pods() -> None:
    with ApiLevel(controllers=True, scheduler=True, kwok=True) as level:
        killed = level.pid("kube-apiserver")
        os.kill(killed, signal.SIGKILL)
        eventually("another API server", lambda: level.pid("kube-apiserver") != killed)
        eventually("it is ready", level.api.is_ready)
        level.api.create("/api/v1/nodes", kwok.node("big", cpu=64, memory="512Gi", gpus=8, taint=False))
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "large"},
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "none",
                        "resources": {"limits": {"cpu": "4", "memory": "64Gi", "nvidia.com/gpu": "8"}},
                    }
                ]
            },
        }
        level.api.create("/api/v1/namespaces/default/pods", pod)

        def runs() -> bool:
            found = level.api.get("/api/v1/namespaces/default/pods/large")
            return found is not None and found["status"]["phase"] == "Running"

        eventually("the pod runs", runs)
