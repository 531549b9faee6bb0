"""Rollouts with the real Deployment controller and scheduler: they finish by themselves, and at no needless cost."""

import json
import time

import pytest
from builders import a_service
from kube import RESOURCES, condition, eventually
from local_cluster.kwok import node
from mlservice.api.meta import LABEL_REVISION

NAME = "llama-predict-v1"
CLASS = "none"


def light(**parameters):
    service = a_service().with_parameters(**parameters)
    service.predictor["model"]["runtime"] = "light"
    return service


def change(project, service):
    project.patch("MLService", "llama", {"spec": service.manifest["spec"]})


def pods(project):
    return [p for p in project.kube.list("Pod", project.name) if "deletionTimestamp" not in p["metadata"]]


def names_served(project):
    """What the ready pods were told to serve."""
    return {p["spec"]["containers"][0]["args"][1].partition("=")[2] for p in pods(project) if is_ready(p)}


def is_ready(pod):
    return "deletionTimestamp" not in pod["metadata"] and condition(pod, "Ready").get("status") == "True"


def ready_pods(project):
    return len([pod for pod in pods(project) if is_ready(pod)])


class Since:
    """What the API server remembers of a kind's objects since now: asked for afterwards, no poll can miss a moment."""

    def __init__(self, project, kind):
        self.api, self.path = project.kube.api, RESOURCES[kind].path(project.name)
        self.listed = self.api.get(self.path)

    def events(self):
        version = self.listed["metadata"]["resourceVersion"]
        _, text = self.api.request("GET", f"{self.path}?watch=true&timeoutSeconds=1&resourceVersion={version}")
        return [json.loads(line) for line in text.splitlines()]

    def fewest_ready(self):
        """How many of the pods were ready in the worst moment."""
        ready = {pod["metadata"]["name"] for pod in self.listed["items"] if is_ready(pod)}
        counts = [len(ready)]
        for event in self.events():
            pod = event["object"]
            serves = event["type"] != "DELETED" and is_ready(pod)
            (ready.add if serves else ready.discard)(pod["metadata"]["name"])
            counts.append(len(ready))
        return min(counts)


def settled(project):
    service = project.service()
    seen = service["status"].get("observedGeneration") == service["metadata"]["generation"]
    return seen and condition(service, "ReleasesReady")["status"] == "True"


def said(project, reason):
    (release,) = project.service()["status"]["releases"]
    return release.get("message") if release.get("reason") == reason else None


def told(project):
    """What the Events say of replacing in place."""
    return "\n".join(event["note"] for event in project.events() if event["reason"] == "ReplacingInPlace")


def strategy(project):
    return project.there("Deployment", NAME)["spec"]["strategy"]["rollingUpdate"]


SURGE = {"maxSurge": 1, "maxUnavailable": 0}


def test_where_there_is_room_the_old_pods_serve_until_the_new_ones_do(real_project):
    real_project.create(light().with_replicas(3))
    eventually("three are ready", lambda: ready_pods(real_project) == 3, 60)
    eventually("and told so", lambda: settled(real_project))
    since = Since(real_project, "Pod")
    change(real_project, light(MODEL_NAME="new").with_replicas(3))
    eventually("the new ones serve", lambda: names_served(real_project) == {"new"}, 60)
    assert since.fewest_ready() == 3
    eventually("it is told", lambda: settled(real_project))


def test_rollout_that_never_becomes_ready_leaves_the_old_pods_and_can_be_mended(real_project):
    real_project.create(light().with_replicas(2))
    real_project.reason("Ready")
    eventually("both are ready", lambda: settled(real_project))
    change(real_project, light(MODEL_NAME="new").with_replicas(2).patched(nodeSelector={"gpu": "h200"}))
    message = eventually("it is told", lambda: said(real_project, "Unschedulable"))
    assert "didn't match Pod's node affinity/selector" in message
    time.sleep(4)  # longer than the patience with a lack of room
    assert (strategy(real_project), ready_pods(real_project)) == (SURGE, 2)
    assert condition(real_project.service(), "Ready")["status"] == "True"
    change(real_project, light(MODEL_NAME="new").with_replicas(2))
    eventually("the mended one serves", lambda: settled(real_project) and names_served(real_project) == {"new"}, 60)


@pytest.fixture
def three_gpus(real_kube):
    real_kube.api.apply("/api/v1/nodes/gpu-2", node("gpu-2", gpus=2, taint=False))
    yield
    real_kube.api.request("DELETE", "/api/v1/nodes/gpu-2")


def test_several_pods_on_the_last_gpus_are_replaced_one_by_one(three_gpus, real_project):
    real_project.create(a_service().with_replicas(3))
    eventually("three are ready", lambda: ready_pods(real_project) == 3, 60)
    eventually("and told so", lambda: settled(real_project))
    since, told_since = Since(real_project, "Pod"), Since(real_project, "MLService")
    change(real_project, a_service().with_replicas(3).with_parameters(MODEL_NAME="new"))
    message = eventually("it is told", lambda: said(real_project, "ReplacingInPlace"))
    assert "a pod stops before the next one starts, and 2 of 3 serve meanwhile" in message
    eventually("the new ones serve", lambda: names_served(real_project) == {"new"}, 60)
    assert since.fewest_ready() == 2
    statuses = [condition(event["object"], "Ready")["status"] for event in told_since.events()]
    assert set(statuses) == {"True"}
    eventually("room is used again next time", lambda: strategy(real_project) == SURGE)


def test_more_pods_than_gpus_do_not_keep_a_change_from_the_one_that_serves(real_project):
    real_project.create(a_service().with_replicas(2))
    eventually("one of two is ready", lambda: ready_pods(real_project) == 1)
    real_project.reason("Ready")
    change(real_project, a_service().with_replicas(2).with_parameters(MODEL_NAME="new"))
    eventually("the new one serves", lambda: names_served(real_project) == {"new"}, 60)
    assert "Insufficient nvidia.com/gpu" in eventually("the other waits", lambda: said(real_project, "Unschedulable"))


def test_pod_that_fails_on_the_last_gpu_makes_room_for_the_mended_one(real_project):
    """It never was ready, and would hold the GPU for ever, were it waited for."""
    real_project.create(a_service().patched(containers=[{"name": "user-container", "image": "typo"}]))
    real_project.reason("Ready")
    (pod,) = pods(real_project)
    broken = {"name": "user-container", "image": "typo", "imageID": "", "ready": False, "restartCount": 1}
    ended = {"state": {"terminated": {"exitCode": 1, "message": "no such model"}}}
    unready = [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "False"}]
    status = {"containerStatuses": [broken | ended], "conditions": unready}
    real_project.patch("Pod", pod["metadata"]["name"], {"status": status}, "status")
    real_project.reason("ContainerCrashed")
    change(real_project, a_service().with_parameters(MODEL_NAME="new"))
    eventually("the mended one serves", lambda: settled(real_project) and names_served(real_project) == {"new"}, 60)


def test_quota_for_one_pod_does_not_keep_a_change_out_for_ever(real_project):
    path = f"/api/v1/namespaces/{real_project.name}/resourcequotas/one"
    hard = {"pods": "1"}
    real_project.kube.api.apply(
        path, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "one"}, "spec": {"hard": hard}}
    )
    eventually("the quota counts", lambda: (real_project.kube.api.get(path) or {}).get("status", {}).get("hard"))
    real_project.create(light())
    real_project.reason("Ready")
    change(real_project, light(MODEL_NAME="new"))
    eventually("the new one serves", lambda: settled(real_project) and names_served(real_project) == {"new"}, 60)
    eventually("it was told", lambda: "ResourceQuota allows no second pod" in told(real_project))


@pytest.fixture
def claim(real_project):
    """Makes the claim `weights`, bound to a volume that any node may use."""

    def make(mode):
        kube, name = real_project.kube, f"w-{real_project.name}"
        volume = {
            "capacity": {"storage": "1Gi"},
            "accessModes": [mode],
            "storageClassName": CLASS,
            "csi": {"driver": "a", "volumeHandle": name},
        }
        manifest = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume}
        kube.api.apply(f"/api/v1/persistentvolumes/{name}", manifest)
        spec = {
            "accessModes": [mode],
            "storageClassName": CLASS,
            "volumeName": name,
            "resources": {"requests": {"storage": "1Gi"}},
        }
        real_project.create(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "weights"}, "spec": spec}
        )

    yield make
    real_project.kube.api.request("DELETE", f"/api/v1/persistentvolumes/w-{real_project.name}")


def test_claim_for_one_pod_at_a_time_is_replaced_in_place(real_project, claim):
    claim("ReadWriteOncePod")
    real_project.create(light().on("weights"))
    real_project.reason("Ready")
    seen = [e["reason"] for e in real_project.events()]
    assert "ReplacingInPlace" not in seen
    change(real_project, light(MODEL_NAME="new").on("weights"))
    eventually("the new one serves", lambda: settled(real_project) and names_served(real_project) == {"new"}, 60)
    words = "PersistentVolumeClaim weights is for one pod at a time (ReadWriteOncePod)"
    eventually("it was told", lambda: words in told(real_project))


@pytest.fixture
def silent_node(real_kube):
    """A node whose pods no kubelet starts, closed at first."""
    silent = node("silent", gpus=0, taint=False)
    del silent["metadata"]["annotations"]
    silent["spec"]["unschedulable"] = True
    real_kube.api.apply("/api/v1/nodes/silent", silent)
    ready = {"type": "Ready", "status": "True"}
    path, merge = "/api/v1/nodes/silent/status", "application/strategic-merge-patch+json"
    real_kube.api.request("PATCH", path, json.dumps({"status": {"conditions": [ready]}}), merge)
    yield "silent"
    real_kube.api.request("DELETE", "/api/v1/nodes/silent")


def test_claim_that_attaches_to_one_node_is_given_up_by_the_old_pod_when_the_new_one_came_to_another(
    silent_node, real_project, claim
):
    claim("ReadWriteOnce")
    real_project.create(light().on("weights"))
    real_project.reason("Ready")
    (old,) = pods(real_project)
    # So that the new pod comes to the other node.
    cordon(real_project.kube, old["spec"]["nodeName"], True)
    cordon(real_project.kube, silent_node, False)
    try:
        change(real_project, light(MODEL_NAME="new").on("weights"))
        new = eventually("the new pod has a node", lambda: placed(real_project, "silent"))
        waits = {"type": "PodReadyToStartContainers", "status": "False", "lastTransitionTime": "2026-01-01T11:00:00Z"}
        real_project.patch("Pod", new, {"status": {"conditions": [*_conditions(real_project, new), waits]}}, "status")
        eventually("the old pod is gone", lambda: old["metadata"]["name"] not in map(_name, pods(real_project)))
        words = f"attaches to one node only (ReadWriteOnce), and pod {_name(old)} uses it"
        eventually("it was told", lambda: words in told(real_project))
    finally:
        cordon(real_project.kube, old["spec"]["nodeName"], False)
        change(real_project, light().on("weights").having(runMode="paused"))
        eventually("they end, also where no kubelet ends them", lambda: end_pods(real_project))


def _name(obj):
    return obj["metadata"]["name"]


def _conditions(project, pod):
    return project.get("Pod", pod)["status"]["conditions"]


def placed(project, where):
    return next((_name(p) for p in pods(project) if p["spec"].get("nodeName") == where), None)


def end_pods(project):
    """Delete the pods as only a kubelet may; return whether none is left, and the Deployment will make no other."""
    for pod in project.kube.list("Pod", project.name):
        project.delete("Pod", _name(pod), gracePeriodSeconds=0)
    deployment = project.there("Deployment", NAME)
    wanted, status = deployment["spec"]["replicas"], deployment["status"]
    seen = status["observedGeneration"] == deployment["metadata"]["generation"]
    return seen and wanted == status.get("replicas", 0) == len(project.kube.list("Pod", project.name)) == 0


def cordon(kube, name, closed):
    kube.api.merge(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": closed}})


def test_restart_by_kubectl_goes_through_and_nothing_of_ours_comes_back_at_it(real_project):
    real_project.create(light())
    real_project.reason("Ready")
    (old,) = pods(real_project)
    annotation = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T12:00:00Z"}
    real_project.patch("Deployment", NAME, {"spec": {"template": {"metadata": {"annotations": annotation}}}})

    def another():
        found = pods(real_project)
        return len(found) == 1 and _name(found[0]) != _name(old) and settled(real_project)

    eventually("another pod serves", another)
    (new,) = pods(real_project)
    assert new["metadata"]["labels"][LABEL_REVISION] == old["metadata"]["labels"][LABEL_REVISION]
    assert new["metadata"]["annotations"].items() >= annotation.items()
