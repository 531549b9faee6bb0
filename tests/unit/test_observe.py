import asyncio

import pytest
from builders import a_service
from mlservice.api.settings import Settings
from mlservice.cluster.queue import WorkQueue
from mlservice.controller.observe import Cluster

TOLD = {"releases": [{"name": "v1", "readyReplicas": 1}]}


def stored(name, status):
    manifest = a_service(name).namespaced("n")
    manifest["metadata"] |= {"uid": name, "resourceVersion": "1"}
    return manifest | {"status": status}


def a_deployment(name, available):
    labels = {"mlservice.tensorstack.dev/name": name, "mlservice.tensorstack.dev/release": "v1"}
    metadata = {"name": f"{name}-predict-v1", "namespace": "n", "labels": labels, "uid": name, "resourceVersion": "2"}
    return {"metadata": metadata, "spec": {}, "status": {"availableReplicas": available}}


@pytest.mark.parametrize(
    ("available", "status", "first"),
    [
        (1, {}, True),
        (0, TOLD, True),
        (2, TOLD, True),
        (1, TOLD, False),
        (0, {}, False),
    ],
)
def test_deployment_that_serves_otherwise_than_its_service_says_comes_first(available, status, first):
    async def scenario():
        queue = WorkQueue()
        cluster = Cluster(Settings(), queue)
        cluster.services.put(stored("before", {}))
        cluster.services.put(stored("llama", status), quietly=True)
        cluster.children["Deployment"].put(a_deployment("llama", available))
        assert await queue.get() == ("n", "llama" if first else "before")

    asyncio.run(scenario())
