"""What the CRDs declare of a container, and the words in which they do: schemas of objects that may hold more."""

from typing import Annotated, Any

from pydantic import Field

from mlservice.api.fields import ANYTHING, Schema

OPEN: Schema = {"x-kubernetes-preserve-unknown-fields": True}
"""On an object whose further fields are kept as they are."""


def string(description: str, **limits: Any) -> Schema:
    return {"type": "string", "nullable": True, "description": description, **limits}


def strings(description: str) -> Schema:
    return {"type": "array", "nullable": True, "description": description, "items": {"type": "string"}}


def a_map(description: str, values: Schema) -> Schema:
    return {"type": "object", "nullable": True, "description": description, "additionalProperties": values}


def an_open(description: str, **properties: Schema) -> Schema:
    """An object with these fields and any others."""
    return {
        "type": "object",
        **OPEN,
        "nullable": True,
        "description": description,
        **({"properties": properties} if properties else {}),
    }


def a_list(description: str, item: str, *, required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """A list of open objects."""
    element = an_open(item, **properties) | ({"required": list(required)} if required else {})
    del element["nullable"]
    return {"type": "array", "nullable": True, "description": description, "items": element}


STRING_VALUE: Schema = {"type": "string", "nullable": True}

RESOURCES = an_open(
    "A Kubernetes ResourceRequirements (kubectl explain pod.spec.containers.resources). A limit without a request "
    "is also the request; GPUs are set in limits.",
    limits=a_map(
        "The most it may use, by resource: cpu in cores (4, 500m), memory in bytes (64Gi), nvidia.com/gpu in pieces "
        "(1). Unset sets no limit.",
        ANYTHING,
    ),
    requests=a_map(
        "What a node must have free, by resource, in the units of limits. Unset means the limits.", ANYTHING
    ),
)

PORTS = a_list(
    "Ports of the container. The serving port is the only one, or the one named http; without any it is 8080. Of "
    "several, each needs a name; the others appear in the Services under their own number.",
    "A Kubernetes ContainerPort.",
    required=("containerPort",),
    containerPort={
        "type": "integer",
        "minimum": 1,
        "maximum": 65535,
        "description": "Number of the port that the server listens on, such as 8000.",
    },
    name=string("Name of the port, at most 15 characters, such as http, grpc or metrics.", maxLength=63),
    protocol=string("TCP, UDP or SCTP. Unset means TCP.", maxLength=16),
) | {"maxItems": 16}

CONTAINER = {
    "type": "object",
    **OPEN,
    "required": ["name"],
    "description": "A Kubernetes Container (kubectl explain pod.spec.containers).",
    "properties": {
        "name": {
            "type": "string",
            "minLength": 1,
            "maxLength": 63,
            "description": "Name of the container. The one named user-container serves the model: weights are mounted "
            "into it and requests go to it.",
        },
        "image": string("Image of the container, such as vllm/vllm-openai:v0.33.0.", maxLength=1024),
        "command": strings("Program and its first arguments. Unset means the image's own."),
        "args": strings("Arguments, each one element; numbers are quoted. A patch replaces the whole list."),
        "env": a_list(
            "Environment variables; a patch merges them by name.",
            "A Kubernetes EnvVar.",
            name=string("Name of the variable, such as HF_HUB_OFFLINE."),
            value=string("Value of the variable, a string: numbers and true are quoted."),
        ),
        "ports": PORTS,
        "resources": RESOURCES,
        "volumeMounts": a_list(
            "Where the pod's volumes appear in the container; a patch merges them by mountPath.",
            "A Kubernetes VolumeMount.",
            name=string("Name of the volume, one of the pod's volumes."),
            mountPath=string("Absolute path in the container, such as /dev/shm."),
        ),
        "volumeDevices": a_list(
            "Block volumes of the container; a patch merges them by devicePath.",
            "A Kubernetes VolumeDevice.",
            devicePath=string("Path of the device in the container, such as /dev/xvda."),
        ),
        "lifecycle": an_open(
            "What happens after the start and before the end. user-container gets a preStop sleep unless it has one, "
            "so that no request meets a server that is ending.",
            preStop=an_open(
                "What happens before the end. Empty ({}) means nothing, not the sleep of user-container either."
            ),
        ),
    },
}

Resources = Annotated[dict[str, Any], Field(json_schema_extra=lambda schema: schema.update(RESOURCES))]
"""A Kubernetes ResourceRequirements."""
