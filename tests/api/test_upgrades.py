"""This build over what older builds wrote: not one pod restarts, and then everything works.

tests/api/written_by/ holds the objects as an older build left them (`python tests/upgrades.py record COMMIT`). Nobody
plays the Deployment controller here: a Deployment whose pod template stays as it is restarts nothing.
"""

import time

import pytest
from builders import a_service
from kube import Kube, condition, eventually
from local_cluster.apiserver import ApiLevel
from rig import Operator, install_crds
from upgrades import WRITTEN, restore, services, settled

CHILDREN = ("Deployment", "Service", "ControllerRevision")
NEW_FIELDS = {"5203a52": {"minReadySeconds"}}
"""What this build writes into a Deployment beside its pod template, and the older one did not: it restarts nothing."""

BUILDS = sorted(WRITTEN.glob("*.yaml"))


@pytest.fixture(params=BUILDS, ids=lambda file: file.stem)
def upgraded(request, tmp_path):
    """The objects before, and a namespace in which this build has been at work since."""
    with ApiLevel() as level:
        kube = Kube(level.kubeconfig)
        install_crds(kube)
        project = restore(level, request.param)
        before = children(project)
        operator = Operator(kube, tmp_path / "log")
        yield project, before, operator, NEW_FIELDS.get(request.param.stem, set())
        operator.stop()


def children(project):
    return {
        f"{kind} {child['metadata']['name']}": child
        for kind in CHILDREN
        for child in project.kube.list(kind, project.name)
    }


def without(spec, fields):
    return {name: value for name, value in spec.items() if name not in fields}


def at_rest(project, operator):
    """Wait until every service has been looked at and nothing is written any more."""
    count = len(project.kube.list("MLService", project.name))

    def looked_at():
        done = [line for line in operator.get("/metrics").splitlines() if line.startswith("mlservice_reconciles_total")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in done) >= count

    eventually("the operator serves", lambda: "/healthz, /readyz" in operator.text(), seconds=60)
    eventually("every service has been looked at", looked_at, seconds=60)
    while (seen := versions(project)) and not time.sleep(2):
        if versions(project) == seen:
            return


def versions(project):
    objects = [*children(project).values(), *project.kube.list("MLService", project.name)]
    return {obj["metadata"]["uid"]: obj["metadata"]["resourceVersion"] for obj in objects}


def test_there_are_builds_to_upgrade_from():
    assert len(BUILDS) >= 3


def test_upgrade_restarts_nothing_and_changes_no_spec_and_then_everything_works(upgraded):
    project, before, operator, new_fields = upgraded
    at_rest(project, operator)
    after = children(project)
    for name, old in before.items():
        new = after[name]
        assert new["metadata"]["uid"] == old["metadata"]["uid"]
        added = new_fields if name.startswith("Deployment") else set()
        assert without(new.get("spec", {}), added) == old.get("spec", {}), name
        assert new["metadata"].get("generation") == old["metadata"].get("generation") or added, name
    for name in set(after) - set(before):
        assert name.startswith("ControllerRevision "), name  # an older build had none: what runs is pinned
    for service in services():
        name = service.manifest["metadata"]["name"]
        live = project.service(name)
        assert settled(live), condition(live, "Ready")
        assert condition(live, "Ready")["observedGeneration"] == live["metadata"]["generation"]
        for release in live["status"]["releases"]:
            assert release["revision"] == 1
            assert f"Deployment {name}-predict-{release['name']}" in after
        ours = [e for e in project.events(name) if e["reportingController"].endswith("/mlservice-operator")]
        assert [event["note"] for event in ours if event["type"] == "Warning"] == []
    changed = a_service("plain").with_parameters(MODEL_NAME="other")
    project.patch("MLService", "plain", {"spec": changed.manifest["spec"]})

    def follows():
        template = project.there("Deployment", "plain-predict-v1")["spec"]["template"]
        return "--served-model-name=other" in template["spec"]["containers"][0]["args"]

    eventually("a change is made", follows)
    others = {name: child for name, child in children(project).items() if "plain" not in name}
    for name, child in others.items():
        assert child["metadata"].get("generation") == after[name]["metadata"].get("generation")
    project.patch("MLService", "paused", {"spec": {"runMode": "running"}})
    eventually("it runs again", lambda: project.there("Deployment", "paused-predict-v1")["spec"]["replicas"] == 1)
    project.delete("MLService", "two")
    project.gone("MLService", "two")
