"""Twenty healthy services beside ones that fail in every way: nothing of theirs is written, logged or restarted."""

import time

import pytest
from builders import a_release, a_runtime, a_service
from kube import condition, eventually
from pod_states import container, ended, waiting

HEALTHY = [f"fine-{i}" for i in range(20)]
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "read-only"},
    "spec": {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Gi"}}},
}


def broken():
    """A service for each mistake, and the reason that it must show."""
    runtime = a_service("no-runtime")
    runtime.predictor["model"]["runtime"] = "missing"
    template = a_service("bad-template")
    template.predictor["model"]["runtime"] = "broken"
    disabled = a_service("off")
    disabled.predictor["model"]["runtime"] = "disabled"
    s3 = a_release(storage={"s3": {"secretRef": {"name": "s"}, "uri": "s3://b"}})
    return {
        "RuntimeNotFound": runtime,
        "TemplateInvalid": template,
        "RuntimeDisabled": disabled,
        "ParameterMissing": a_service("no-parameter").without_parameter("MODEL_NAME"),
        "PVCNotFound": a_service("no-claim").on("nowhere"),
        "PVCReadOnly": a_service("read-only").on("read-only", readOnly=False),
        "StorageUnsupported": a_service("s3").having(releases=[s3]),
        "PodTemplateInvalid": a_service("bad-pod").patched(restartPolicy="Sometimes"),
        "ContainerNotFound": a_service("no-container").having(
            releases=[a_release(containersResources=[{"name": "x", "resources": {}}])]
        ),
        "NameConflict": a_service("taken"),
        "ScaledToZero": a_service("zero").with_replicas(0),
        "Paused": a_service("paused").having(runMode="paused"),
        "ContainerCrashed": a_service("crashes"),
        "ImagePullFailed": a_service("no-image"),
        "OutOfMemory": a_service("no-memory"),
    }


PODS = {
    "crashes": container(**waiting("CrashLoopBackOff"), lastState=ended(1, "KeyError")),
    "no-image": container(**waiting("ImagePullBackOff", "not found")),
    "no-memory": container(**waiting("CrashLoopBackOff"), lastState=ended(137, "", "OOMKilled")),
}


@pytest.fixture
def healthy(project):
    for name in HEALTHY:
        project.create(a_service(name))
    for name in HEALTHY:
        project.roll_out(f"{name}-predict-v1")
    for name in HEALTHY:
        project.reason("Ready", name)
    return project


def snapshot(project):
    services = {
        s["metadata"]["name"]: s["metadata"]["resourceVersion"] for s in project.kube.list("MLService", project.name)
    }
    return {name: (services[name], project.versions(name)) for name in HEALTHY}


def test_services_that_fail_in_every_way_disturb_no_other(healthy, operator):
    before, process, lines = snapshot(healthy), operator.process.pid, len(operator.text().splitlines())
    for name, more in (("broken", {"args": ["{{range .X}}{{end}}"]}), ("disabled", {})):
        runtime = a_runtime(name, **more)
        runtime["spec"]["enabled"] = name != "disabled"
        healthy.create(runtime)
    healthy.create(CLAIM)
    port = {"ports": [{"port": 1}], "selector": {"app": "else"}}
    healthy.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "taken"}, "spec": port})
    services = broken()
    for service in services.values():
        healthy.create(service)
    for name, status in PODS.items():
        healthy.pod(f"{name}-predict-v1", f"{name}-pod", containerStatuses=[status])
    for reason, service in services.items():
        message = healthy.reason(reason, service.manifest["metadata"]["name"])["message"]
        assert message
    time.sleep(2)
    rest = {r: operator.requests("PATCH", r) for r in ("mlservices", "deployments", "services", "events")}
    time.sleep(2)
    after = {r: operator.requests("PATCH", r) for r in rest}
    # Refused children are tried again, at growing intervals: two of the services have one.
    assert (after["mlservices"], after["events"]) == (rest["mlservices"], rest["events"])
    assert after["deployments"] + after["services"] - rest["deployments"] - rest["services"] <= 4
    assert snapshot(healthy) == before
    new = [line.split(" ", 2)[2] for line in operator.text().splitlines()[lines:]]  # without the time
    assert not [line for line in new if any(f"/{name}:" in line or f" {name} " in line for name in HEALTHY)]
    assert len(new) == len(set(new)), "a line is logged twice"
    assert not [line for line in new if not line.startswith("INFO ")]
    assert (operator.process.poll(), operator.process.pid) == (None, process)
    assert operator.get("/healthz") == "ok\n"
    healthy.create(a_service("another"))
    healthy.roll_out("another-predict-v1")
    assert healthy.reason("Ready", "another")["status"] == "True"
    eventually("it is told", lambda: condition(healthy.service("another"), "ReleasesReady")["status"] == "True")
