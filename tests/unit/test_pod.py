"""A release's pod template: rendered runtime, patch, resources, weights, scheduler, defaults, in this order."""

from builders import a_claim, a_runtime, a_service, a_world, child, condition, planned


def template(result):
    return child(result, "Deployment", "llama-predict-v1")["spec"]["template"]


def containers(result):
    return {c["name"]: c for c in template(result)["spec"]["containers"]}


def a_sidecar(**fields):
    return {"name": "sidecar", "image": "s:1", **fields}


def test_patch_is_merged_onto_the_rendered_runtime_and_not_rendered_itself():
    service = a_service().patched(containers=[{"name": "user-container", "args": ["--name={{.MODEL_NAME}}"]}])
    assert containers(planned(a_world(service)))["user-container"]["args"] == ["--name={{.MODEL_NAME}}"]


def test_nulls_of_the_patch_mean_unset():
    service = a_service().patched(containers=[{"name": "user-container", "args": None, "image": None}], volumes=None)
    server = containers(planned(a_world(service)))["user-container"]
    assert (server["image"], server["args"][0]) == ("vllm/vllm-openai:v0.33.0", "--model=/var/lib/t9k/model")


def test_containers_resources_replace_those_of_runtime_and_patch_in_every_container():
    patch = [
        {"name": "user-container", "resources": {"limits": {"cpu": 9}, "requests": {"cpu": 9}}},
        a_sidecar(resources={"limits": {"cpu": 9}}),
    ]
    service = a_service().patched(containers=patch)
    service.predictor["containersResources"] = [
        {"name": "user-container", "resources": {"limits": {"nvidia.com/gpu": 2}}},
        {"name": "sidecar", "resources": {"requests": {"memory": "1Gi"}}},
    ]
    found = containers(planned(a_world(service)))
    assert found["user-container"]["resources"] == {"limits": {"nvidia.com/gpu": 2}}
    assert found["sidecar"]["resources"] == {"requests": {"memory": "1Gi"}}


def test_serving_port_is_explicit_when_the_patch_adds_a_sidecar_to_a_runtime_without_ports():
    world = a_world(a_service().patched(containers=[a_sidecar()]), runtimes=(a_runtime(ports=None),))
    result = planned(world)
    found = containers(result)
    assert found["user-container"]["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
    assert "ports" not in found["sidecar"]
    assert child(result, "Service", "llama")["spec"]["ports"][0]["targetPort"] == "http"


def test_sidecar_may_have_ports_of_its_own_but_not_the_serving_ports_name():
    fine = a_service().patched(containers=[a_sidecar(ports=[{"containerPort": 9, "name": "debug"}])])
    assert [p["name"] for p in child(planned(a_world(fine)), "Service", "llama")["spec"]["ports"]] == ["http"]
    clash = a_service().patched(containers=[a_sidecar(ports=[{"containerPort": 9, "name": "http"}])])
    assert "sidecar has a port named http" in condition(planned(a_world(clash)), "Ready")["message"]


def test_weights_are_mounted_into_user_container_alone():
    runtime = a_runtime()
    runtime["spec"]["template"]["spec"]["initContainers"] = [{"name": "wait", "image": "w:1"}]
    service = a_service().patched(containers=[a_sidecar()], initContainers=[{"name": "more", "image": "m:1"}]).on("w")
    result = planned(a_world(service, runtimes=(runtime,), claims=(a_claim("w"),)))
    spec = template(result)["spec"]
    mounted = [c["name"] for c in spec["containers"] + spec["initContainers"] if "volumeMounts" in c]
    assert (len(spec["containers"] + spec["initContainers"]), mounted) == (4, ["user-container"])


def test_weights_take_the_place_of_what_the_runtime_mounts_there():
    mounts = [{"name": "cache", "mountPath": "/var/lib/t9k/model"}, {"name": "dshm", "mountPath": "/dev/shm"}]
    service = a_service().on("w")
    result = planned(a_world(service, runtimes=(a_runtime(volumeMounts=mounts),), claims=(a_claim("w"),)))
    assert [(m["name"], m["mountPath"]) for m in containers(result)["user-container"]["volumeMounts"]] == [
        ("dshm", "/dev/shm"),
        ("mlservice-storage", "/var/lib/t9k/model"),
    ]
