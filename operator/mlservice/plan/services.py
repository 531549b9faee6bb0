"""The Services: one per release, and one for the MLService that selects the pods of the routed release."""

from typing import Any

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
        "spec": {
            "type": "ClusterIP",
            "selector": predictor_selector(service, release),
            "ports": _ports(user_container(template)["ports"]),
        },
    }


def _ports(container_ports: list[Any]) -> list[Object]:
    """Port 80 leads to the serving port; further named ports (gRPC, metrics) appear under their own number."""
    serving = serving_port(container_ports)
    others = [p for p in container_ports if p["containerPort"] != serving and p.get("name")]
    return [
        {"name": "http", "port": PORT, "protocol": "TCP", "targetPort": serving},
        *(
            {
                "name": p["name"],
                "port": p["containerPort"],
                "protocol": p.get("protocol", "TCP"),
                "targetPort": p["containerPort"],
            }
            for p in others
        ),
    ]
