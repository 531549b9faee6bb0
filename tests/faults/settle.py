"""Play the other controllers until nothing moves any more, and describe the end."""

import contextlib
import difflib
import json
import time
from collections.abc import Callable
from typing import Any

from faults.proxy import Exchange, FaultProxy
from kube import Object, Refused
from mlservice.api.meta import ANNOTATION_APPLIED
from rig import Project

QUIET_SECONDS = 0.6
"""Nothing was written for so long: longer than the operator's first retries."""

KINDS = ("Deployment", "Service", "ControllerRevision", "MLService")
MADE_BY_THE_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")


def settle(project: Project, proxy: FaultProxy, until: Callable[[], bool] = lambda: False, seconds: float = 60) -> None:
    """Roll every Deployment out until no write comes and the service has seen its newest generation; or `until`."""
    deadline, since, before = time.monotonic() + seconds, time.monotonic(), -1
    while not until():
        began = time.monotonic()
        assert time.monotonic() < deadline, (
            f"no rest within {seconds} s: {[(w.method, w.path) for w in proxy.writes[-8:]]}"
        )
        moved = [collect(project, "Deployment", "Service", "ControllerRevision")]
        moved += [roll_out(project, deployment) for deployment in project.kube.list("Deployment", project.name)]
        if any(moved) or len(proxy.writes) != before or not seen(project):
            since, before = time.monotonic(), len(proxy.writes)
        if time.monotonic() - since > QUIET_SECONDS:
            return
        time.sleep(max(0.05, time.monotonic() - began))  # many services take long to look at


def converges(project: Project, proxy: FaultProxy, wanted: Any, after: str = "", seconds: float = 90) -> None:
    """Wait for the wanted end, and that it lasts: watches and the Lease come back with delays that have grown."""
    deadline = time.monotonic() + seconds
    while True:
        settle(project, proxy, seconds=seconds)
        found = state(project)
        if found == wanted or time.monotonic() > deadline:
            break
    assert found == wanted, f"{after}:\n{_differences(wanted, found)}"


def _differences(wanted: Any, found: Any) -> str:
    lines = [json.dumps(state, indent=1, sort_keys=True).splitlines() for state in (wanted, found)]
    return "\n".join(difflib.unified_diff(*lines, "wanted", "found", lineterm="", n=4))


def roll_out(project: Project, deployment: Object) -> bool:
    """Make every pod of it new and ready, as the Deployment controller does; whether there was something to do."""
    count, generation = deployment["spec"]["replicas"], deployment["metadata"]["generation"]
    wanted = {"observedGeneration": generation, "replicas": count, "updatedReplicas": count}
    wanted |= {"readyReplicas": count, "availableReplicas": count}
    live = deployment.get("status", {})
    if all(live.get(key, 0) == value for key, value in wanted.items()):
        return False
    with contextlib.suppress(Refused):  # it was deleted just now
        project.patch("Deployment", deployment["metadata"]["name"], {"status": wanted}, "status")
    return True


def collect(project: Project, *kinds: str) -> bool:
    """Delete the children of services that are gone, as the garbage collector does; whether there were any."""
    alive = {service["metadata"]["uid"] for service in project.kube.list("MLService", project.name)}
    orphans = [
        (kind, child["metadata"]["name"])
        for kind in kinds
        for child in project.kube.list(kind, project.name)
        if (owners := child["metadata"].get("ownerReferences")) and not alive & {owner["uid"] for owner in owners}
    ]
    for kind, name in orphans:
        with contextlib.suppress(Refused):
            project.delete(kind, name)
    return bool(orphans)


def seen(project: Project) -> bool:
    return all(
        service.get("status", {}).get("observedGeneration") == service["metadata"]["generation"]
        for service in project.kube.list("MLService", project.name)
    )


def concerns(exchange: Exchange, project: Project) -> bool:
    """Whether it writes something of this namespace, other than Events."""
    return exchange.write is not None and f"/namespaces/{project.name}/" in exchange.path


def state(project: Project) -> Any:
    """All that users and clients may rely on, without what differs from one run to the next."""
    found = {
        f"{kind} {obj['metadata']['name']}": _kept(obj)
        for kind in KINDS
        for obj in project.kube.list(kind, project.name)
    }
    return json.loads(json.dumps(found, sort_keys=True).replace(project.name, "NAMESPACE"))


def _kept(obj: Object) -> Object:
    metadata = {k: v for k, v in obj["metadata"].items() if k not in MADE_BY_THE_SERVER}
    metadata["annotations"] = {k: v for k, v in metadata.get("annotations", {}).items() if k != ANNOTATION_APPLIED}
    metadata["ownerReferences"] = [o["kind"] for o in metadata.get("ownerReferences", [])]
    spec = {k: v for k, v in obj.get("spec", {}).items() if not k.startswith("clusterIP")}
    status = {k: v for k, v in obj.get("status", {}).items() if k != "observedGeneration"}
    if "conditions" in status:
        status["conditions"] = [
            {k: v for k, v in c.items() if k not in ("lastTransitionTime", "observedGeneration")}
            for c in status["conditions"]
        ]
    return {
        **{k: obj[k] for k in ("data", "revision") if k in obj},
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }
