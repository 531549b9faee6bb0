"""What must exist, by example: the first place to look for how the operator behaves."""

import pytest
from builders import a_claim, a_pod, a_release, a_runtime, a_service, a_world, child, condition, live, planned
from hypothesis import given
from hypothesis import strategies as st
from mlservice.api.meta import LABEL_RELEASE
from mlservice.plan.revision import ready_revisions
from mlservice.plan.world import Ref


def container(result, release="v1"):
    template = child(result, "Deployment", f"llama-predict-{release}")["spec"]["template"]
    return next(c for c in template["spec"]["containers"] if c["name"] == "user-container")


def test_a_service_is_a_pinned_deployment_and_two_services():
    result = planned(a_world())
    (revision,) = [c["metadata"]["name"] for c in result.children if c["kind"] == "ControllerRevision"]
    assert {str(Ref(c["kind"], c["metadata"]["name"])) for c in result.children} == {
        f"ControllerRevision {revision}",
        "Deployment llama-predict-v1",
        "Service llama-predict-v1",
        "Service llama",
    }


def test_parameters_are_rendered_into_the_runtime():
    world = a_world(a_service().with_parameters(MODEL_NAME="codellama"))
    assert container(planned(world))["args"] == ["--model=/var/lib/t9k/model", "--served-model-name=codellama"]


def test_claim_is_mounted_where_t9k_mounts_it():
    result = planned(a_world(a_service().on("vllm", subPath="CodeLlama-7b-Instruct-hf"), claims=(a_claim("vllm"),)))
    spec = child(result, "Deployment", "llama-predict-v1")["spec"]["template"]["spec"]
    assert spec["volumes"] == [{"name": "mlservice-storage", "persistentVolumeClaim": {"claimName": "vllm"}}]
    assert container(result)["volumeMounts"] == [
        {"name": "mlservice-storage", "mountPath": "/var/lib/t9k/model", "subPath": "CodeLlama-7b-Instruct-hf"}
    ]


@pytest.mark.parametrize(
    ("given", "mounted"), [("a/b/", "a/b"), (".", None), ("", None), ("./a", "a"), ("m.gguf", "m.gguf")]
)
def test_sub_path_is_cleaned(given, mounted):
    result = planned(a_world(a_service().on("vllm", subPath=given, readOnly=True), claims=(a_claim("vllm"),)))
    (mount,) = container(result)["volumeMounts"]
    assert (mount.get("subPath"), mount["readOnly"]) == (mounted, True)


def test_empty_strings_mean_unset_where_a_chart_renders_them():
    service = a_service().on("vllm", subPath="", mountPath="").having(canary="")
    result = planned(a_world(service, claims=(a_claim("vllm"),)))
    assert container(result)["volumeMounts"] == [{"name": "mlservice-storage", "mountPath": "/var/lib/t9k/model"}]
    assert condition(result, "FieldsSupported") == {}


def test_resources_of_a_container_that_are_null_leave_those_of_the_runtime():
    release = a_release(containersResources=[{"name": "user-container", "resources": None}])
    result = planned(a_world(a_service().having(releases=[release])))
    assert container(result)["resources"] == container(planned(a_world()))["resources"] != {}


def test_containers_resources_have_the_last_word():
    assert container(planned(a_world(a_service().with_gpus(2))))["resources"] == {"limits": {"nvidia.com/gpu": 2}}


def test_user_patch_wins_over_the_runtime_and_defaults_over_neither():
    patch = {"containers": [{"name": "user-container", "image": "mine:1", "terminationMessagePolicy": "File"}]}
    result = planned(a_world(a_service().patched(enableServiceLinks=True, **patch)))
    spec = child(result, "Deployment", "llama-predict-v1")["spec"]["template"]["spec"]
    assert (container(result)["image"], container(result)["terminationMessagePolicy"]) == ("mine:1", "File")
    assert (spec["enableServiceLinks"], spec["automountServiceAccountToken"]) == (True, False)


def test_safe_defaults():
    server = container(planned(a_world()))
    assert server["readinessProbe"]["tcpSocket"] == {"port": "http"}
    assert server["lifecycle"] == {"preStop": {"sleep": {"seconds": 10}}}


def test_own_pre_stop_hook_is_kept():
    hook = {"preStop": {"exec": {"command": ["drain"]}}}
    assert container(planned(a_world(runtimes=(a_runtime(lifecycle=hook),))))["lifecycle"] == hook


def test_empty_pre_stop_hook_is_none_at_all():
    assert "lifecycle" not in container(planned(a_world(runtimes=(a_runtime(lifecycle={"preStop": {}}),))))


def test_empty_protocol_is_written_out():
    """Server-side apply knows a port by its number and protocol, and would add one without at each apply."""
    ports = [{"containerPort": 8000, "protocol": ""}]
    assert container(planned(a_world(runtimes=(a_runtime(ports=ports),))))["ports"][0]["protocol"] == "TCP"


def test_port_defaults_to_8080_and_named_ports_appear_in_the_services():
    result = planned(a_world(runtimes=(a_runtime(ports=None),)))
    assert container(result)["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
    assert child(result, "Service", "llama")["spec"]["ports"] == [
        {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}
    ]
    triton = [("http", 8000), ("grpc", 8001), ("metrics", 8002)]
    ports = [{"name": name, "containerPort": port} for name, port in triton]
    result = planned(a_world(runtimes=(a_runtime(ports=ports),)))
    assert [(p["name"], p["port"], p["targetPort"]) for p in child(result, "Service", "llama")["spec"]["ports"]] == [
        ("http", 80, "http"),
        ("grpc", 8001, "grpc"),
        ("metrics", 8002, "metrics"),
    ]


def test_replicas_are_not_part_of_the_apply_and_clamped_on_their_own():
    world = a_world(a_service().with_replicas(2, 4))
    first = planned(world)
    assert "replicas" not in child(first, "Deployment", "llama-predict-v1")["spec"]
    assert first.replicas == {}
    for current, wanted in ((1, {"llama-predict-v1": 2}), (3, {}), (9, {"llama-predict-v1": 4})):
        children = live(first)
        children[Ref("Deployment", "llama-predict-v1")]["spec"]["replicas"] = current
        assert planned(a_world(a_service().with_replicas(2, 4), children=children)).replicas == wanted


def test_paused_service_runs_no_pods_and_keeps_its_url():
    service = a_service().having(runMode="paused")
    result = planned(a_world(service, children=live(planned(a_world()))))
    assert result.replicas == {"llama-predict-v1": 0}
    assert condition(result, "Paused")["status"] == "True"
    assert (condition(result, "Ready")["status"], condition(result, "Ready")["reason"]) == ("False", "Paused")
    assert result.status["address"]["url"] == "http://llama.default.svc.cluster.local"


def test_gateway_adds_a_route_per_host_name():
    world = a_world(gateway="infra/web/http", url="https://{name}.{namespace}.example.com:8443")
    result = planned(world)
    route = child(result, "HTTPRoute", "llama")
    assert route["spec"]["hostnames"] == ["llama.default.example.com"]
    assert route["spec"]["parentRefs"] == [{"name": "web", "namespace": "infra", "sectionName": "http"}]
    assert child(result, "HTTPRoute", "llama-predict-v1")["spec"]["hostnames"] == [
        "llama-predict-v1.default.example.com"
    ]
    assert result.status["address"]["url"] == "https://llama.default.example.com:8443"


TWO = a_service().also(a_release("v2"))


def switched() -> object:
    """The default is v2 now, v1 serves."""
    children = live(planned(a_world(TWO)))
    return children, a_service().also(a_release("v2")).having(default="v2")


def routed(result):
    return child(result, "Service", "llama")["spec"]["selector"][LABEL_RELEASE]


def test_traffic_moves_only_when_the_successor_has_a_ready_pod():
    children, service = switched()
    successor = children[Ref("Deployment", "llama-predict-v2")]
    successor["status"]["availableReplicas"] = 0
    result = planned(a_world(service, children=children))
    assert (routed(result), result.status["defaultRelease"]) == ("v1", "v1")
    assert condition(result, "Ready")["status"] == "True"
    assert "v2 takes over" in condition(result, "Ready")["message"]
    successor["status"]["availableReplicas"] = 1
    result = planned(a_world(service, children=children))
    assert (routed(result), result.status["defaultRelease"]) == ("v2", "v2")


def test_removed_release_goes_only_when_no_traffic_is_left_on_it():
    children, _ = switched()
    only_v2 = a_service().named("v2")
    children[Ref("Deployment", "llama-predict-v2")]["status"]["availableReplicas"] = 0
    result = planned(a_world(only_v2, children=children))
    assert (routed(result), result.unwanted) == ("v1", ())
    children[Ref("Deployment", "llama-predict-v2")]["status"]["availableReplicas"] = 1
    result = planned(a_world(only_v2, children=children))
    assert (routed(result), result.unwanted) == ("v2", ())
    children[Ref("Service", "llama")]["spec"]["selector"][LABEL_RELEASE] = "v2"
    result = planned(a_world(only_v2, children=children))
    assert {str(Ref(u["kind"], u["metadata"]["name"])) for u in result.unwanted} == {
        "Deployment llama-predict-v1",
        "Service llama-predict-v1",
        *(str(ref) for ref in children if ref.kind == "ControllerRevision" and ref.name.startswith("llama-predict-v1")),
    }


def test_removed_predecessor_without_pods_is_not_waited_for():
    children, service = switched()[0], a_service().named("v2")
    del children[Ref("Deployment", "llama-predict-v1")]
    children[Ref("Deployment", "llama-predict-v2")]["status"]["availableReplicas"] = 0
    assert routed(planned(a_world(service, children=children))) == "v2"


def test_broken_runtime_leaves_what_runs_alone():
    children = live(planned(a_world()))
    result = planned(a_world(runtimes=(), children=children))
    assert (result.children, result.unwanted) == (planned(a_world()).children, ())
    assert condition(result, "Ready")["status"] == "True"
    (release,) = result.status["releases"]
    assert (release["ready"], release["reason"]) == (True, "RuntimeNotFound")


def test_fields_without_effect_are_named():
    result = planned(a_world(a_service().also(a_release("v2")).having(canary="v2")))
    assert "spec.canary" in condition(result, "FieldsSupported")["message"]


def test_last_transition_time_moves_only_with_the_status():
    children = live(planned(a_world()))
    first = planned(a_world(children=children)).status
    first["conditions"][0]["lastTransitionTime"] = "2020-01-01T00:00:00Z"
    again = planned(a_world(children=children, status=first))
    assert condition(again, "Ready")["lastTransitionTime"] == "2020-01-01T00:00:00Z"
    down = planned(a_world(children=live(planned(a_world()), ready=False), status=first))
    assert condition(down, "Ready")["lastTransitionTime"] == "2026-01-01T12:00:00Z"


def test_second_plan_of_a_settled_world_is_the_same():
    first = planned(a_world())
    second = planned(a_world(children=live(first), pods=(a_pod(),)))
    assert (second.children, second.unwanted, second.replicas) == (first.children, (), {})


NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)


@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.data())
def test_every_release_has_its_children_and_traffic_adds_up_to_100(names, data):
    default = data.draw(st.sampled_from(names))
    service = a_service().having(default=default, releases=[a_release(name) for name in names])
    result = planned(a_world(service))
    named = {c["metadata"]["name"] for c in result.children if c["kind"] != "ControllerRevision"}
    assert named == {"llama", *(f"llama-predict-{n}" for n in names)}
    assert sum(r["trafficPercent"] for r in result.status["releases"]) == 100


@given(st.data())
def test_a_status_that_remembers_nothing_new_leads_to_the_same_plan(data):
    """So after its own write of a status the operator need not plan again."""
    names = st.lists(st.sampled_from(["v1", "v2", "v3"]), min_size=1, unique=True)
    before, now = data.draw(names), data.draw(names)
    old, new = (
        a_service().having(default=data.draw(st.sampled_from(some)), releases=[a_release(name) for name in some])
        for some in (before, now)
    )
    children = live(planned(a_world(old)), ready=data.draw(st.booleans()))
    status = data.draw(st.sampled_from([{}, planned(a_world(old, children=children)).status]))
    children = {ref: obj for ref, obj in children.items() if data.draw(st.booleans())}
    first = planned(a_world(new, children=children, status=status))
    again = planned(a_world(new, children=children, status=first.status))
    if ready_revisions(status) == ready_revisions(first.status):
        assert (again.children, again.unwanted, again.replicas) == (first.children, first.unwanted, first.replicas)
        assert (again.status, again.events) == (first.status, ())
