"""Pinned revisions: whose edit restarts pods, and whose does not."""

from copy import deepcopy

import pytest
from builders import a_pod, a_release, a_runtime, a_service, a_world, child, condition, live, planned
from mlservice.api.meta import ANNOTATION_INPUTS, ANNOTATION_UPDATE, LABEL_REVISION
from mlservice.plan.owned import owned_template
from mlservice.plan.revision import must_be_newest, unpinned
from mlservice.plan.world import Ref

DEPLOYMENT = Ref("Deployment", "llama-predict-v1")
EDITED = (a_runtime(image="vllm/vllm-openai:v0.34.0"),)


class Running:
    """A service whose first plan was carried out."""

    def __init__(self, ready=True):
        first = planned(a_world())
        self.children, self.ready = live(first, ready), ready
        self.status = planned(a_world(children=self.children)).status
        self.before = image(first)

    def planned(self, service=None, runtimes=EDITED, **world):
        self.world = {"service": service or a_service(), "runtimes": runtimes}
        return planned(a_world(**self.world, children=self.children, status=self.status, **world))

    def follow(self, result):
        """Carry a plan out; the revisions that it does not delete stay."""
        gone = {Ref(obj["kind"], obj["metadata"]["name"]) for obj in result.unwanted}
        self.children = {ref: obj for ref, obj in self.children.items() if ref not in gone} | live(result)
        self.status = planned(a_world(**self.world, children=self.children, status=result.status)).status

    @property
    def deployment(self):
        return self.children[DEPLOYMENT]

    @property
    def revisions(self):
        return sorted(o["revision"] for ref, o in self.children.items() if ref.kind == "ControllerRevision")


def image(result):
    template = child(result, *("Deployment", "llama-predict-v1"))["spec"]["template"]
    return template["spec"]["containers"][0]["image"]


def test_edited_runtime_restarts_nothing_and_is_announced_with_the_difference():
    running = Running()
    result = running.planned()
    assert image(result) == running.before
    update = condition(result, "UpdateAvailable")
    assert (update["status"], update["reason"]) == ("True", "NewerTemplate")
    assert "containers[user-container].image: vllm/vllm-openai:v0.33.0 -> vllm/vllm-openai:v0.34.0" in update["message"]
    assert f"annotate mls llama {ANNOTATION_UPDATE}=" in update["message"]
    assert condition(planned(a_world()), "UpdateAvailable")["status"] == "False"


@pytest.mark.parametrize(
    "service",
    [
        a_service().with_replicas(3, 5),
        a_service().also(a_release("v2")),
        a_service().having(runMode="running"),
        a_service().with_replicas(1),
    ],
    ids=["scaled", "a sibling", "a default written out", "minReplicas written out"],
)
def test_what_is_no_input_of_the_template_changes_no_revision(service):
    assert image(Running().planned(service)) == "vllm/vllm-openai:v0.33.0"


def test_storage_defaults_may_be_written_out():
    services = [
        a_service().on("w"),
        a_service().on("w", readOnly=False, mountPath="/var/lib/t9k/model"),
        a_service().on("w", subPath=None),
    ]
    claims = ({"metadata": {"name": "w"}, "spec": {}},)
    inputs = {
        child(planned(a_world(s, claims=claims)), "Deployment", "llama-predict-v1")["metadata"]["annotations"][
            "mlservice.tensorstack.dev/inputs"
        ]
        for s in services
    }
    assert len(inputs) == 1


def test_hash_of_the_inputs_outlives_operators():
    """Another hash would restart the pods of every service at an operator's upgrade."""
    annotations = child(planned(a_world()), "Deployment", "llama-predict-v1")["metadata"]["annotations"]
    assert annotations["mlservice.tensorstack.dev/inputs"] == "e1ca7e7059"


def test_changed_input_takes_the_newest_runtime():
    running = Running()
    result = running.planned(a_service().with_parameters(MODEL_NAME="other"))
    assert image(result) == "vllm/vllm-openai:v0.34.0"
    running.follow(result)
    assert running.revisions == [1, 2]
    assert running.status["releases"][0]["revision"] == 2


def test_update_on_request():
    service = a_service()
    service.manifest["metadata"]["annotations"] = {ANNOTATION_UPDATE: "1"}
    assert image(Running().planned(service)) == "vllm/vllm-openai:v0.34.0"


def test_release_that_was_never_ready_takes_the_mended_runtime():
    assert image(Running(ready=False).planned()) == "vllm/vllm-openai:v0.34.0"


def test_release_that_was_ready_and_lost_its_pods_keeps_its_revision():
    running = Running()
    running.deployment["status"]["availableReplicas"] = 0
    assert image(running.planned()) == running.before
    running.status = {}
    running.deployment["status"]["conditions"] = [
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
    ]
    assert image(running.planned()) == running.before, "also when the status is lost"


def test_one_ready_pod_of_a_running_rollout_is_enough_to_keep_the_revision():
    running = Running(ready=False)
    label = running.deployment["spec"]["template"]["metadata"]["labels"][LABEL_REVISION]
    pod = a_pod(conditions=[{"type": "Ready", "status": "True"}])
    pod["metadata"]["labels"][LABEL_REVISION] = label
    assert image(running.planned(pods=(pod,))) == running.before
    pod["metadata"]["labels"][LABEL_REVISION] = "older"
    assert image(running.planned(pods=(pod,))) == "vllm/vllm-openai:v0.34.0"


def test_release_without_pods_takes_the_newest_runtime():
    running = Running()
    running.deployment["spec"]["replicas"] = running.deployment["status"]["replicas"] = 0
    assert image(running.planned(a_service().having(runMode="paused"))) == "vllm/vllm-openai:v0.34.0"


def test_broken_runtime_keeps_the_revision_and_its_children():
    running = Running()
    result = running.planned(runtimes=())
    assert image(result) == running.before
    assert (condition(result, "Ready")["status"], condition(result, "ReleasesReady")["status"]) == ("True", "True")
    assert "MLServiceRuntime vllm-openai does not exist" in condition(result, "ReleasesReady")["message"]


def test_changed_input_of_a_missing_runtime_is_not_ready_and_leaves_the_pods():
    running = Running()
    result = running.planned(a_service().with_parameters(MODEL_NAME="other"), runtimes=())
    assert image(result) == running.before
    assert condition(result, "ReleasesReady")["reason"] == "RuntimeNotFound"


def test_back_to_earlier_content_is_the_same_revision_with_a_new_number():
    running = Running()
    running.follow(running.planned(a_service().with_parameters(MODEL_NAME="other"), runtimes=(a_runtime(),)))
    running.follow(running.planned(runtimes=(a_runtime(),)))
    assert running.revisions == [2, 3]


def test_held_at_an_older_revision_and_let_go_again():
    running = Running()
    running.follow(running.planned(a_service().with_parameters(MODEL_NAME="other")))
    held = a_service().with_parameters(MODEL_NAME="other")
    held.manifest["spec"]["releases"][0]["revision"] = 1
    result = running.planned(held)
    assert image(result) == "vllm/vllm-openai:v0.33.0"
    assert "release v1 (held)" in condition(result, "UpdateAvailable")["message"]
    running.follow(result)
    again = running.planned(a_service().with_parameters(MODEL_NAME="other"))
    assert image(again) == "vllm/vllm-openai:v0.34.0"


def test_unknown_revision_is_named_with_those_that_exist():
    running = Running()
    held = a_service()
    held.manifest["spec"]["releases"][0]["revision"] = 7
    result = running.planned(held)
    assert image(result) == running.before
    assert condition(result, "ReleasesReady")["reason"] == "RevisionNotFound"
    assert "it has: 1" in condition(result, "ReleasesReady")["message"]


def test_history_is_bounded_and_keeps_what_was_ready_last():
    running = Running()
    for number in range(20):
        running.follow(running.planned(a_service().with_parameters(MODEL_NAME=f"m{number}")))
        running.status["releases"][0]["readyRevision"] = 1
    running.follow(running.planned(a_service().with_parameters(MODEL_NAME=f"m{number}")))
    assert running.revisions == [1, *range(11, 22)]


def test_revisions_go_with_their_release():
    running = Running()
    running.follow(running.planned(a_service().also(a_release("v2"))))
    result = running.planned(a_service())
    names = {obj["metadata"]["name"] for obj in result.unwanted if obj["kind"] == "ControllerRevision"}
    assert names and all(name.startswith("llama-predict-v2-") for name in names)


def test_inputs_that_somebody_took_from_a_revision_are_known_from_its_deployment():
    running = Running()
    (revision,) = [obj for ref, obj in running.children.items() if ref.kind == "ControllerRevision"]
    inputs = revision["metadata"].pop("annotations")[ANNOTATION_INPUTS]
    result = running.planned()
    assert image(result) == running.before
    healed = child(result, "ControllerRevision", revision["metadata"]["name"])
    assert healed["metadata"]["annotations"][ANNOTATION_INPUTS] == inputs


def test_deployment_without_revisions_is_adopted_as_it_runs():
    """An older operator made it, or somebody deleted the revisions."""
    running = Running()
    running.children = {ref: obj for ref, obj in running.children.items() if ref.kind != "ControllerRevision"}
    template = deepcopy(running.deployment["spec"]["template"])
    del template["metadata"]["labels"][LABEL_REVISION]
    del running.deployment["metadata"]["annotations"]["mlservice.tensorstack.dev/inputs"]
    running.deployment["spec"]["template"] = {**template, "spec": {**template["spec"], "dnsPolicy": "ClusterFirst"}}
    result = running.planned(adopted={"llama-predict-v1": template})
    assert child(result, "Deployment", "llama-predict-v1")["spec"]["template"] == template
    running.follow(result)
    assert image(running.planned()) == running.before


@pytest.mark.parametrize("all_of_them", [True, False], ids=["all", "the one in force"])
@pytest.mark.parametrize("runtimes", [EDITED, ()], ids=["edited", "removed"])
def test_deleted_revisions_and_lost_pods_roll_nothing_out(all_of_them, runtimes):
    running, new = Running(), a_service().with_parameters(MODEL_NAME="other")
    for _ in range(2):
        running.follow(running.planned(new, runtimes=(a_runtime(),)))
    assert running.status["releases"][0]["readyRevision"] == 2
    before = running.deployment["spec"]["template"]
    deleted = {ref for ref, obj in running.children.items() if obj.get("revision", 0) >= (1 if all_of_them else 2)}
    assert len(deleted) == (2 if all_of_them else 1)
    running.children = {ref: obj for ref, obj in running.children.items() if ref not in deleted}
    running.deployment["status"]["availableReplicas"] = 0
    assert list(unpinned(a_world(new, children=running.children, status=running.status))) == ["llama-predict-v1"]
    result = running.planned(new, runtimes=runtimes, adopted={"llama-predict-v1": before})
    assert child(result, "Deployment", "llama-predict-v1")["spec"]["template"] == before
    assert result.status["releases"][0]["revision"] == 2
    changed = running.planned(a_service().with_parameters(MODEL_NAME="third"), adopted={"llama-predict-v1": before})
    assert changed.status["releases"][0]["revision"] == 3


def test_runtime_must_be_the_newest_where_an_old_one_would_stay():
    running, asked = Running(), a_service()
    deployment = running.deployment
    asked.manifest["metadata"]["annotations"] = {ANNOTATION_UPDATE: "1"}
    assert must_be_newest(a_world(children=running.children), deployment)
    assert must_be_newest(a_world(asked), deployment)
    assert must_be_newest(a_world(status=running.status), deployment), "somebody deleted what was ready"
    assert not must_be_newest(a_world(), deployment), "a new one"


@pytest.mark.parametrize("gone", [True, False], ids=["the Deployment is deleted", "another content between"])
def test_revision_made_of_what_runs_is_that_of_its_content(gone):
    """The server writes 4 as "4", and what a ControllerRevision holds can never be written anew."""
    running, runtimes = Running(), (a_runtime(),)
    running.children = {ref: obj for ref, obj in running.children.items() if ref.kind != "ControllerRevision"}
    template = deepcopy(running.deployment["spec"]["template"])
    (container,) = template["spec"]["containers"]
    container["resources"] = {"limits": {k: str(v) for k, v in container["resources"]["limits"].items()}}
    running.follow(running.planned(runtimes=runtimes, adopted={"llama-predict-v1": template}))
    assert condition(running.planned(runtimes=runtimes), "UpdateAvailable")["status"] == "False"
    (before,) = (obj for ref, obj in running.children.items() if ref.kind == "ControllerRevision")
    if gone:
        del running.children[DEPLOYMENT]
    else:
        running.follow(running.planned(a_service().with_parameters(MODEL_NAME="other"), runtimes=runtimes))
    result = running.planned(runtimes=runtimes)
    assert child(result, "ControllerRevision", before["metadata"]["name"])["data"] == before["data"]


@pytest.fixture
def overwritten():
    """Somebody deleted the revisions and wrote over the Deployment's containers: what is left is not whole."""
    running = Running()
    running.children = {ref: obj for ref, obj in running.children.items() if ref.kind != "ControllerRevision"}
    template = deepcopy(running.deployment["spec"]["template"])
    del template["spec"]["containers"][0]["ports"]
    running.adopted = {"llama-predict-v1": template}
    return running


def test_what_others_wrote_over_is_known_while_the_runtime_is_as_it_was(overwritten):
    before = overwritten.deployment["spec"]["template"]
    result = overwritten.planned(runtimes=(a_runtime(),), adopted=overwritten.adopted)
    assert child(result, "Deployment", "llama-predict-v1")["spec"]["template"] == before


def test_what_others_wrote_over_becomes_the_newest_when_the_runtime_has_changed(overwritten):
    assert image(overwritten.planned(adopted=overwritten.adopted)) == "vllm/vllm-openai:v0.34.0"


def test_what_others_wrote_over_stays_while_there_is_no_runtime(overwritten):
    result = overwritten.planned(runtimes=(), adopted=overwritten.adopted)
    assert condition(result, "ReleasesReady")["reason"] == "RuntimeNotFound"
    assert not any(obj["kind"] == "Deployment" for obj in (*result.children, *result.unwanted))


def test_ports_that_others_wrote_have_no_name_for_the_service(overwritten):
    """It leads to names; so it stays as it is."""
    overwritten.deployment["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": 9999}]
    held = a_service()
    held.manifest["spec"]["releases"][0]["revision"] = 7
    result = overwritten.planned(held, adopted=overwritten.adopted)
    assert condition(result, "ReleasesReady")["reason"] == "RevisionNotFound"
    assert not any(obj["kind"] == "Service" for obj in (*result.children, *result.unwanted))


def test_revision_that_is_not_whole_is_none():
    running = Running()
    (kept,) = (obj for ref, obj in running.children.items() if ref.kind == "ControllerRevision")
    del kept["data"]["template"]["spec"]["containers"][0]["ports"]
    kept["metadata"]["name"] = "llama-predict-v1-broken"
    running.children = {Ref(o["kind"], o["metadata"]["name"]): o for o in running.children.values()}
    result = running.planned()
    assert image(result) == "vllm/vllm-openai:v0.34.0"
    assert [obj["metadata"]["name"] for obj in result.unwanted] == ["llama-predict-v1-broken"]


def test_deleted_revision_does_not_hide_a_change_of_the_spec():
    running = Running()
    running.children = {ref: obj for ref, obj in running.children.items() if ref.kind != "ControllerRevision"}
    adopted = {"llama-predict-v1": running.deployment["spec"]["template"]}
    result = running.planned(a_service().with_parameters(MODEL_NAME="other"), adopted=adopted)
    assert image(result) == "vllm/vllm-openai:v0.34.0"


def test_owned_template_is_what_we_applied():
    template = {
        "metadata": {"labels": {"a": "1"}, "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}},
        "spec": {
            "dnsPolicy": "ClusterFirst",
            "containers": [
                {"name": "user-container", "image": "a:1", "args": ["--x"], "imagePullPolicy": "Always"},
                {"name": "injected", "image": "b:1"},
            ],
        },
    }
    container = {".": {}, "f:name": {}, "f:image": {}, "f:args": {}}
    fields = {
        "f:metadata": {"f:labels": {"f:a": {}}},
        "f:spec": {"f:containers": {'k:{"name":"user-container"}': container}},
    }
    managed = [
        {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:template": {}}}},
        {"manager": "mlservice-operator", "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": fields}}},
    ]
    deployment = {"metadata": {"managedFields": managed}, "spec": {"template": template}}
    assert owned_template(deployment) == {
        "metadata": {"labels": {"a": "1"}},
        "spec": {"containers": [{"name": "user-container", "image": "a:1", "args": ["--x"]}]},
    }
