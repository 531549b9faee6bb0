"""The first apply of a child creates it, or does nothing at all: a stranger's object is never taken over."""

import asyncio

import pytest
from builders import a_runtime, a_world, planned
from kubernetes.aio import client as official
from kubernetes.aio import config
from mlservice.cluster.client import ApiError, Client
from mlservice.cluster.resources import CHILDREN, RUNTIME

RESOURCES = {**CHILDREN, RUNTIME.kind: RUNTIME}
OBJECTS = [*planned(a_world()).children, a_runtime("made")]


@pytest.mark.parametrize("obj", OBJECTS, ids=[f"{o['kind']} {o['metadata']['name']}" for o in OBJECTS])
def test_second_make_of_a_name_is_a_conflict_and_changes_nothing(kube, project, obj):
    resource = RESOURCES[obj["kind"]]
    obj = {**obj, "metadata": {**obj["metadata"], "namespace": project.name, "ownerReferences": []}}
    other = {**obj, "metadata": {**obj["metadata"], "labels": {"theirs": "no"}}}

    async def twice():
        configuration = official.Configuration()
        await config.load_kube_config(config_file=str(kube.kubeconfig), client_configuration=configuration)
        client = Client(configuration)
        try:
            made = await client.make(resource, obj)
            with pytest.raises(ApiError) as caught:
                await client.make(resource, other)
            return made, caught.value
        finally:
            await client.close()

    made, error = asyncio.run(twice())
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("mlservice-operator", "Apply")
    assert error.status == 409
    assert project.get(obj["kind"], obj["metadata"]["name"]) == made
