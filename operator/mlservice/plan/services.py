"""The Services: one per release, and one for the MLService that selects the pods of the routed release."""

from mlservice.api.meta import Object
from mlservice.api.mlservice import MLService
from mlservice.plan.labels import metadata, predictor_selector, release_name, service_labels
from mlservice.plan.pod import serving_port, user_container

PORT = 80
"""Port of every Service, so that http://<name>.<namespace> needs none."""


def release_service(service: MLService, release: str, template: Object) -> Object:
    return _service(service, release_name(service, release), release, template)


def main_service(service: MLService, routed: str, template: Object) -> Object:
    return _service(service, service.name, routed, template)


def _service(service: MLService, name: str, release: str, template: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(service, name, service_labels(service)),
        "spec": {"type": "ClusterIP", "selector": predictor_selector(service, release), "ports": _ports(template)},
    }


def _ports(template: Object) -> list[Object]:
    """Port 80 leads to the serving port; further ports (gRPC, metrics) appear under their own number."""
    serving = serving_port(template)
    others = [port for port in user_container(template)["ports"] if port is not serving]
    return [_port("http", PORT, serving), *(_port(port["name"], port["containerPort"], port) for port in others)]


def _port(name: str, number: int, target: Object) -> Object:
    return {"name": name, "port": number, "protocol": target["protocol"], "targetPort": target["name"]}
