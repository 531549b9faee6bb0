"""What `mlservice plan` prints of a world and a plan."""

import asyncio

from builders import NOW, ServiceBuilder, a_claim, a_release, a_runtime, a_service, a_world, planned
from mlservice.api.reasons import Reason
from mlservice.cli.rehearsal import Assumed, Rehearsal, rehearse
from mlservice.cli.report import report
from mlservice.plan import Finding, Ref

WEIGHTS = a_claim("weights")


def rehearsed(service: ServiceBuilder, before: ServiceBuilder | None = None, attempt=None, claims=(WEIGHTS,), **world):
    """Apply `service` where `before`, if any, runs and is ready."""
    children, old = {}, None
    if before:
        children = running(asyncio.run(rehearse(a_world(before, claims=(WEIGHTS,)), None, Assumed(), NOW)).after)
        status = planned(a_world(before, claims=(WEIGHTS,), children=children)).status
        old = {**before.manifest, "status": status}
        world["status"] = status
    new = a_world(service, claims=claims, children=children, **world)
    return asyncio.run(rehearse(new, old, attempt or Assumed(), NOW))


def running(children):
    """The children with all pods ready."""
    for where, obj in children.items():
        if where.kind == "Deployment":
            count, generation = obj["spec"]["replicas"], obj["metadata"]["generation"]
            counts = dict.fromkeys(["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"], count)
            obj["status"] = {**counts, "observedGeneration": generation}
    return children


def sections(rehearsal: Rehearsal) -> dict[str, list[str]]:
    """The report by its titles; the first lines are under ''."""
    found: dict[str, list[str]] = {"": []}
    for line in report(rehearsal).splitlines():
        if line and not line.startswith(" ") and found[""]:
            found[line] = []
        elif line:
            found[list(found)[-1]].append(line.strip())
    return found


def test_a_new_service():
    said = sections(rehearsed(a_service()))
    assert said[""] == ["MLService default/llama: new"]
    assert [line.split()[:2] for line in said["Objects"]] == [
        ["create", "ControllerRevision"],
        ["create", "Deployment"],
        ["create", "Service"],
        ["create", "Service"],
    ]
    assert said["Pods"] == ["Release v1: 1 pod starts"]
    assert said["Traffic"] == ["v1 100 %, once a pod is ready"]
    assert said["URL"] == ["http://llama.default.svc.cluster.local"]
    assert said["Status"] == ["Ready=False  PredictorNotReady: 0 of 1 pods are ready: the model is loading"]


def test_an_unchanged_service():
    said = sections(rehearsed(a_service(), a_service()))
    assert said[""] == ["MLService default/llama: unchanged"]
    assert {line.split()[0] for line in said["Objects"]} == {"unchanged"}
    assert (said["Pods"], said["Traffic"]) == (["No pod starts, stops or restarts"], ["v1 100 %"])
    assert [line.split(":")[0] for line in said["Status"]] == ["Ready=True  Ready"]


def test_a_changed_parameter_says_what_restarts_and_why():
    said = sections(rehearsed(a_service().with_parameters(MODEL_NAME="other"), a_service()))
    field = "spec.template.spec.containers[user-container].args[1]"
    assert said[""] == [
        "MLService default/llama: changed",
        "spec.releases[v1].predictor.model.parameters.MODEL_NAME: llama -> other",
    ]
    assert f"{field}: --served-model-name=llama -> --served-model-name=other" in said["Objects"]
    assert said["Pods"] == [
        "Release v1: 1 pod restarts, because of spec.containers[user-container].args[1]. An old pod serves until its "
        "successor is ready; where no node has room for both, it stops first"
    ]
    assert said["Status"][0].endswith(
        "1 of 1 pods are ready, 1 of them to be replaced: each serves until a new pod is ready"
    )


def test_a_claim_of_one_pod_makes_the_restart_a_downtime():
    service = a_service().on("weights")
    changed = a_service().on("weights").with_parameters(MODEL_NAME="other").with_replicas(2)
    claim = a_claim("weights", "ReadWriteOncePod")
    (line,) = sections(rehearsed(changed, service, claims=(claim,)))["Pods"]
    assert "Each old pod stops before its successor starts: requests fail until one is ready" in line
    assert line.endswith("Then 1 pod becomes 2")


def test_many_changed_fields_are_counted():
    def service(value):
        patch = {"name": "user-container", "env": [{"name": f"E{i:02}", "value": value} for i in range(12)]}
        return a_service().patched(containers=[patch])

    said = sections(rehearsed(service("new"), service("old")))
    assert (said["Objects"][-3], said["Objects"][-4].split(".")[-1]) == ("4 more fields", "value: old -> new")
    assert "env[E02].value, 9 more fields. An old pod" in said["Pods"][0]


def test_replicas():
    assert sections(rehearsed(a_service().with_replicas(3), a_service()))["Pods"] == ["Release v1: 1 pod becomes 3"]
    paused = sections(rehearsed(a_service().having(runMode="paused"), a_service().with_replicas(2)))
    assert paused["Pods"] == ["Release v1: 2 pods stop"]
    assert "Paused=True  Paused" in paused["Status"]


def test_an_edited_runtime_restarts_nothing_and_says_that_an_update_is_there():
    rehearsal = rehearsed(a_service(), a_service(), runtimes=(a_runtime(image="vllm/vllm-openai:v0.34.0"),))
    said = sections(rehearsal)
    assert said["Pods"] == ["No pod starts, stops or restarts"]
    assert any(line.startswith("UpdateAvailable=True") and "v0.34.0" in line for line in said["Status"])
    assert rehearsal.blocked == {}


def test_traffic_of_a_switch_to_a_release_that_is_not_ready():
    said = sections(rehearsed(a_service().named("v2"), a_service()))
    assert said["Traffic"] == ["v1 100 %; v2 takes over once it has a ready pod, and v1 is removed then"]
    assert said["Pods"] == ["Release v2: 1 pod starts"]
    assert "v2: http://llama-predict-v2.default.svc.cluster.local" in said["URL"]


def test_a_release_that_gets_no_traffic_is_deleted():
    said = sections(rehearsed(a_service(), a_service().also(a_release("old"))))
    assert said["Pods"] == ["Release old: 1 pod stops"]
    assert {line for line in said["Objects"] if line.startswith("delete")} >= {
        f"delete     {kind:<18}  llama-predict-old" for kind in ("Deployment", "Service")
    }


def test_a_reason_that_waits_for_a_person_blocks():
    rehearsal = rehearsed(a_service().on("absent"))
    said = sections(rehearsal)
    assert rehearsal.blocked == {"v1": Reason.PVC_NOT_FOUND}
    assert said["Objects"] == ["none"]
    assert said["Status"][0].startswith("Ready=False  PVCNotFound: PersistentVolumeClaim absent does not exist")


def test_a_mistake_in_a_runtime_whose_service_runs_is_told_and_blocks():
    rehearsal = rehearsed(a_service(), a_service(), runtimes=(a_runtime(args=["{{range .X}}"]),))
    assert rehearsal.blocked == {"v1": Reason.TEMPLATE_INVALID}
    assert any("range is not supported" in line for line in sections(rehearsal)["Status"])


class Refusing(Assumed):
    """Refuses one object, or the pods of all."""

    def __init__(self, refused: Ref | None) -> None:
        self.refused = refused

    async def write(self, child, live):
        where = Ref(child["kind"], child["metadata"]["name"])
        return Finding(Reason.REFUSED, "no") if where == self.refused else await super().write(child, live)

    async def start(self, deployment):
        return Finding(Reason.REFUSED, "quota") if self.refused is None else None


def test_what_is_refused():
    said = sections(rehearsed(a_service(), attempt=Refusing(Ref("Deployment", "llama-predict-v1"))))
    assert "refused    Deployment          llama-predict-v1" in said["Objects"]
    assert said["Status"][0] == "Ready=False  Refused: no"
    rehearsal = rehearsed(a_service(), attempt=Refusing(Ref("Service", "llama")))
    assert rehearsal.blocked == {"": Reason.REFUSED}


def test_pods_that_would_be_refused():
    rehearsal = rehearsed(a_service(), attempt=Refusing(None))
    said = sections(rehearsal)
    assert said["Pods"] == ["Release v1: 1 pod starts: refused, see Status"]
    assert said["Status"] == ["Ready=False  Refused: quota"]
    changed = a_service().having(scheduler=None).with_replicas(1)
    assert sections(rehearsed(changed, a_service(), attempt=Refusing(None)))["Status"][0].startswith("Ready=True")
