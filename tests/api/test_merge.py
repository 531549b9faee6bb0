"""Our strategic merge gives what the API server's own strategic merge patch of a PodTemplate gives."""

import json

import pytest
from mlservice.plan.merge import strategic_merge

CONTAINER = {"name": "user-container", "image": "a:1", "args": ["--x", "--y"]}
BASE = {
    "metadata": {"labels": {"a": "1", "b": "2"}},
    "spec": {
        "containers": [
            {**CONTAINER, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"name": "sidecar", "image": "s:1"},
        ],
        "volumes": [{"name": "dshm", "emptyDir": {"medium": "Memory"}}, {"name": "data", "emptyDir": {}}],
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "nodeSelector": {"zone": "1"},
        "imagePullSecrets": [{"name": "one"}],
    },
}


def user(**changes):
    """A patch of user-container."""
    return {"spec": {"containers": [{"name": "user-container", **changes}]}}


PATCHES = {
    "args are replaced": user(args=["--z"]),
    "image": user(image="b:2"),
    "env by name": {
        "spec": {
            "containers": [
                {"name": "user-container", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}
            ]
        }
    },
    "new container": {"spec": {"containers": [{"name": "new", "image": "n:1"}]}},
    "order of two": {"spec": {"containers": [{"name": "sidecar", "image": "s:2"}, {"name": "new", "image": "n:1"}]}},
    "container deleted": {"spec": {"containers": [{"name": "sidecar", "$patch": "delete"}]}},
    "volumes": {
        "spec": {"volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "w", "emptyDir": {}}]}
    },
    "volume's source replaced": {
        "spec": {"volumes": [{"name": "data", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}
    },
    "tolerations are replaced": {"spec": {"tolerations": [{"key": "other", "operator": "Exists"}]}},
    "node selector": {"spec": {"nodeSelector": {"zone": None, "pool": "a"}}},
    "pull secrets": {"spec": {"imagePullSecrets": [{"name": "two"}]}},
    "labels": {"metadata": {"labels": {"b": None, "c": "3"}}},
    "ports": {
        "spec": {"containers": [{"name": "user-container", "ports": [{"containerPort": 8000, "protocol": "TCP"}]}]}
    },
    "init containers": {"spec": {"initContainers": [{"name": "init", "image": "i:1"}]}},
    "spread": {
        "spec": {
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
                {"maxSkew": 2, "topologyKey": "host", "whenUnsatisfiable": "ScheduleAnyway"},
            ]
        }
    },
    "env replaced": {
        "spec": {
            "containers": [{"name": "user-container", "env": [{"$patch": "replace"}, {"name": "Z", "value": "0"}]}]
        }
    },
    "mounts": {
        "spec": {"containers": [{"name": "user-container", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}]}
    },
}


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_merged_as_the_api_server_merges(kube, project, patch):
    path = f"/api/v1/namespaces/{project.name}/podtemplates"

    def stored(name: str, template: dict) -> dict:
        body = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}, "template": template}
        status, text = kube.api.request("POST", path, json.dumps(body), "application/json")
        assert status == 201, text
        return json.loads(text)["template"]

    stored("theirs", BASE)
    body = json.dumps({"template": patch})
    status, text = kube.api.request("PATCH", f"{path}/theirs", body, "application/strategic-merge-patch+json")
    assert status == 200, text
    assert stored("ours", strategic_merge(BASE, patch)) == json.loads(text)["template"]
