"""The two pod templates of this API: opaque to the CRD, except for what its rules must read.

A full PodTemplateSpec schema would make each CRD larger than `kubectl apply` can store (262,144 bytes), and would lag
behind the cluster's own version; the API server checks the finished Deployment instead.
"""

from typing import Annotated, Any

from pydantic import Field

OPEN = {"x-kubernetes-preserve-unknown-fields": True}
STRINGS = {"type": "object", "nullable": True, "additionalProperties": {"type": "string"}}

CONTAINER = {
    "type": "object",
    **OPEN,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 63, "description": "Name of the container."},
        "ports": {
            "type": "array",
            "nullable": True,
            "maxItems": 32,
            "description": "Ports of the container. The serving port is the only one, or the one named http.",
            "items": {
                "type": "object",
                **OPEN,
                "required": ["containerPort"],
                "properties": {
                    "containerPort": {"type": "integer", "minimum": 1, "maximum": 65535},
                    "name": {"type": "string", "nullable": True, "maxLength": 63},
                },
            },
        },
    },
}


def _template(containers: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "metadata": {
                "type": "object",
                "nullable": True,
                "description": "Labels and annotations of the pods.",
                "properties": {"labels": STRINGS, "annotations": STRINGS},
            },
            "spec": {
                "type": "object",
                **OPEN,
                "description": "A Kubernetes PodSpec.",
                "properties": {"containers": containers},
                **({"required": required} if required else {"nullable": True}),
            },
        },
        **({"required": ["spec"]} if required else {}),
    }


CONTAINERS = {
    "type": "array",
    "maxItems": 32,
    "items": CONTAINER,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}

PodTemplate = Annotated[
    dict[str, Any],
    Field(
        json_schema_extra=lambda schema: schema.update(
            _template(
                CONTAINERS
                | {
                    "minItems": 1,
                    "description": "Containers of the pod; the one named user-container serves the model.",
                    "x-kubernetes-validations": [
                        {
                            "rule": "self.exists(c, c.name == 'user-container')",
                            "message": "a container named 'user-container' is required: it is the one that serves "
                            "the model",
                        },
                    ],
                },
                ["containers"],
            )
        )
    ),
]
"""Pod template of a runtime: strings may hold `{{.PARAMETER}}`."""

PodTemplatePatch = Annotated[
    dict[str, Any],
    Field(
        json_schema_extra=lambda schema: schema.update(
            _template(CONTAINERS | {"nullable": True, "description": "Containers to change or to add, by name."}, [])
        )
    ),
]
"""A strategic merge patch of the runtime's pod template; containers are optional, and merged by name."""
