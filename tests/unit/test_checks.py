"""What parameters and patches can still break in a finished pod template is found before the API server sees it."""

import pytest
from builders import a_runtime, a_service, a_world, condition, planned
from mlservice.api.meta import mistakes
from mlservice.api.mlservice import MLService
from mlservice.plan.places import named
from pydantic import ValidationError

HTTP = {"name": "http", "containerPort": 8000}


OURS = {"service_account": "mlservice-operator", "lease_namespace": "default"}


def with_port(**port):
    return a_service().patched(containers=[{"name": "user-container", "ports": [port]}])


@pytest.mark.parametrize(
    ("service", "runtime", "words"),
    [
        (with_port(name="http", containerPort=8001), a_runtime(ports=[HTTP]), "two ports named http, 8001 and 8000"),
        (with_port(name="admin", containerPort=80), a_runtime(ports=[HTTP]), "use another number"),
        (
            a_service(),
            a_runtime(ports=[{"name": "{{.MODEL_NAME}}_", "containerPort": 8000}]),
            "calls port 8000 'llama_'",
        ),
        (a_service(), a_runtime(ports=[{"name": "9000", "containerPort": 9000}]), "calls port 9000 '9000'"),
        (a_service(), a_runtime(ports=[{"name": "a--b", "containerPort": 9000}]), "calls port 9000 'a--b'"),
        (a_service(), a_runtime(ports=[{"name": "p" * 16, "containerPort": 9000}]), "at most 15 lower case letters"),
        (a_service(), a_runtime(ports=[HTTP, {"name": "grpc", "containerPort": 8000}]), "has port 8000 twice"),
    ],
)
def test_port_that_no_service_can_have(service, runtime, words):
    ready = condition(planned(a_world(service, runtimes=(runtime,))), "Ready")
    assert (ready["reason"], words in ready["message"]) == ("RuntimeInvalid", True), ready["message"]


def test_one_port_may_be_80():
    world = a_world(runtimes=(a_runtime(ports=[{"containerPort": 80}]),))
    assert condition(planned(world), "Ready")["reason"] == "PredictorNotReady"


@pytest.mark.parametrize("amount", ["lots", "1 GPU", "{{.MODEL_NAME}}", True, {}, "1GB", "1e12345678901234567890"])
def test_what_is_no_quantity_is_named(amount):
    world = a_world(runtimes=(a_runtime(resources={"limits": {"nvidia.com/gpu": amount}}),))
    ready = condition(planned(world), "Ready")
    assert ready["reason"] == "ResourcesInvalid"
    assert "Container user-container: resources.limits.nvidia.com/gpu is " in ready["message"]


@pytest.mark.parametrize("amount", ["500m", 4, 0.5, "64Gi", "1e3", "2"])
def test_quantities(amount):
    world = a_world(runtimes=(a_runtime(resources={"requests": {"cpu": amount}}),))
    assert condition(planned(world), "Ready")["reason"] == "PredictorNotReady"


def test_refusals_name_containers_and_volumes():
    pod = {"containers": [{"name": "proxy"}, {"name": "user-container"}], "volumes": [{"name": "shm"}]}
    words = "spec.template.spec.containers[0].image, containers[1].args, volumes[0].emptyDir, containers[7], ports[0]"
    assert named(words, {"spec": {"template": {"spec": pod}}}) == (
        "spec.template.spec.containers[proxy].image, containers[user-container].args, volumes[shm].emptyDir, "
        "containers[7], ports[0]"
    )
    assert named("spec.ports[0]", {"spec": {"ports": []}}) == "spec.ports[0]"


def test_a_model_says_what_it_cannot_read_field_by_field():
    with pytest.raises(ValidationError) as raised:
        MLService.model_validate({"spec": {"releases": [{"name": "V1", "predictor": {}}]}})
    assert mistakes(raised.value) == (
        "spec.default: Field required; spec.releases.0.name: String should match pattern "
        "'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'; spec.releases.0.predictor.model: Field required"
    )


@pytest.mark.parametrize("field", ["serviceAccountName", "serviceAccount"])
def test_pods_cannot_run_as_the_operator(field):
    named = a_service().patched(**{field: "mlservice-operator"})
    ready = condition(planned(a_world(named, **OURS)), "Ready")
    assert ready["reason"] == "ServiceAccountReserved"
    assert "leave serviceAccountName out" in ready["message"]
    in_a_runtime = a_runtime()
    in_a_runtime["spec"]["template"]["spec"][field] = "{{.MODEL_NAME}}-operator"
    service = a_service().with_parameters(MODEL_NAME="mlservice")
    ready = condition(planned(a_world(service, (in_a_runtime,), **OURS)), "Ready")
    assert ready["reason"] == "ServiceAccountReserved"


def test_accounts_of_other_names_and_other_namespaces_are_nobodys_business():
    other = a_service().patched(serviceAccountName="robot")
    assert condition(planned(a_world(other, **OURS)), "Ready")["reason"] == "PredictorNotReady"
    elsewhere = {**OURS, "lease_namespace": "mlservice-system"}
    same_name = a_service().patched(serviceAccountName="mlservice-operator")
    assert condition(planned(a_world(same_name, **elsewhere)), "Ready")["reason"] == "PredictorNotReady"
