"""The other side of the measurement: the same writes without an operator, and the controllers that are not there."""

from functools import partial

from builders import a_service, a_world, planned
from mlservice.api.meta import Object
from mlservice.cluster.client import Client
from mlservice.cluster.resources import CHILDREN, DEPLOYMENT, EVENT, MLSERVICE, POD
from scale.measure import Rig, seconds_for

AVAILABLE = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
WRITES = 7
"""That `write` makes: the service, its four children, its status, its Event."""
CONTROLLERS = "controllers"
"""Field manager of those who are played."""


async def create(r: Rig, names: list[str]) -> float:
    """Create services; seconds until the API server has all of them."""
    manifests = [a_service(name).namespaced(r.project.name) for name in names]
    return await seconds_for(partial(r.client.create, MLSERVICE, manifest) for manifest in manifests)


async def write(client: Client, namespace: str, name: str) -> None:
    """The writes of one service up to its first status: itself, its children, its status, its Event."""
    result = planned(a_world(a_service(name)))
    live = await client.create(MLSERVICE, a_service(name).namespaced(namespace))
    for child in result.children:
        metadata = {**child["metadata"], "namespace": namespace, "ownerReferences": []}
        await client.apply(CHILDREN[child["kind"]], {**child, "metadata": metadata})
    body = {"apiVersion": live["apiVersion"], "kind": live["kind"], "status": result.status}
    await client.apply(MLSERVICE, body | {"metadata": {"name": name, "namespace": namespace}}, "status")
    await client.create(EVENT, _event(name, namespace))


async def make_available(r: Rig, name: str, pods: int = 1) -> None:
    """Play the Deployment controller: so many pods of the service are ready."""
    status = {"status": {**AVAILABLE, "readyReplicas": pods, "availableReplicas": pods}}
    await r.client.merge(DEPLOYMENT, r.project.name, f"{name}-predict-v1/status", status, CONTROLLERS)


async def start_pod(r: Rig, name: str) -> None:
    """Play the ReplicaSet controller and the scheduler."""
    deployment = await r.client.get(DEPLOYMENT, r.project.name, f"{name}-predict-v1")
    assert deployment is not None
    template = deployment["spec"]["template"]
    metadata = {"name": f"{name}-pod", "namespace": r.project.name, "labels": template["metadata"]["labels"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**template["spec"], "nodeName": "none"}}
    await r.client.create(POD, pod)


async def set_container(r: Rig, name: str, container: Object) -> None:
    """Play the kubelet: the state of the only container of the service's pod."""
    conditions = [{"type": "Ready", "status": str(container["ready"])}]
    status = {"status": {"phase": "Running", "conditions": conditions, "containerStatuses": [container]}}
    await r.client.merge(POD, r.project.name, f"{name}-pod/status", status, CONTROLLERS)


def _event(name: str, namespace: str) -> Object:
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{name}.created", "namespace": namespace},
        "regarding": {
            "apiVersion": MLSERVICE.api_version,
            "kind": MLSERVICE.kind,
            "name": name,
            "namespace": namespace,
        },
        "type": "Normal",
        "reason": "Created",
        "action": "Reconcile",
        "note": "The MLService was accepted",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "bench",
        "reportingInstance": "bench",
    }
