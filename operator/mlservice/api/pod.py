"""The two pod templates of this API: opaque to the CRD, except for what its rules and the operator read.

A full PodTemplateSpec schema would make each CRD larger than `kubectl apply` can store (262,144 bytes), and would lag
behind the cluster's own version; the API server checks the finished Deployment instead. Declared are the lists that a
patch merges into, and the values that are most often mistyped in YAML (a number where Kubernetes wants a string).
"""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from mlservice.api.container import CONTAINER, STRING_VALUE, a_list, a_map, an_open, string
from mlservice.api.fields import Schema, rule

DEEPEST = 100
"""Levels of a pod template: far above any real one. The API server takes 10,000 where it knows no schema."""


def not_too_deep(template: dict[str, Any]) -> dict[str, Any]:
    """Return the template. Raises ValueError where it is nested deeper than functions that call themselves can go."""
    level: list[Any] = [template]
    for _ in range(DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return template
    raise ValueError(f"nested deeper than {DEEPEST} levels: no pod is. Remove what is in there")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


SERVER_RULES = [
    rule(
        "self.name != 'user-container' || !has(self.ports) || size(self.ports) < 2 || "
        "self.ports.all(p, has(p.name)) && self.ports.exists(p, p.name == 'http')",
        "user-container has several ports: name all of them, and call the one that serves requests http",
        fieldPath=".ports",
    ),
    rule(
        "self.name != 'user-container' || !has(self.ports) || "
        "self.ports.all(p, self.ports.exists_one(q, q.containerPort == p.containerPort))",
        "two ports of user-container have the same number: remove one",
        fieldPath=".ports",
    ),
    rule(
        "self.name != 'user-container' || !has(self.ports) || size(self.ports) < 2 || "
        "self.ports.all(p, p.containerPort != 80 || has(p.name) && p.name == 'http')",
        "port 80 of the Services leads to the port named http: let the server use another number than 80 for the "
        "further port",
        fieldPath=".ports",
    ),
]
"""Which port of user-container serves: T9k allows one, several are accepted when it is clear which one."""

POD_RULES = [
    rule(
        "self.exists(c, c.name == 'user-container')",
        "a container named 'user-container' is required, the one that serves the model: rename yours",
    ),
    # Kubernetes looks a named port up in all containers of a pod: the first one found would take our requests.
    rule(
        "self.all(c, c.name == 'user-container' || !has(c.ports) || c.ports.all(p, !has(p.name) || "
        "!self.exists(s, s.name == 'user-container' && (!has(s.ports) || size(s.ports) == 0 ? p.name == 'http' : "
        "s.ports.exists(q, has(q.name) ? q.name == p.name : p.name == 'http')))))",
        "a port of another container has the name of one of user-container, whose unnamed port is called http: "
        "requests would go to the wrong one; rename it",
    ),
]


def _containers(description: str, *rules: Schema) -> Schema:
    """A list of containers; `rules` are those of each."""
    return {
        "type": "array",
        "nullable": True,
        "maxItems": 32,
        "description": description,
        "items": CONTAINER | ({"x-kubernetes-validations": list(rules)} if rules else {}),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }


POD_SPEC = {
    "initContainers": _containers("Containers that run to their end before the others; a patch merges them by name."),
    "volumes": a_list(
        "Volumes of the pod; a patch merges them by name.",
        "A Kubernetes Volume.",
        name=string("Name of the volume, at most 63 characters."),
    ),
    "imagePullSecrets": a_list(
        "Secrets for pulling images; a patch merges them by name.",
        "Reference to a Secret of the same namespace.",
        name=string("Name of the Secret."),
    ),
    "hostAliases": a_list(
        "Lines of /etc/hosts; a patch merges them by ip.",
        "A Kubernetes HostAlias.",
        ip=string("Address of the line, such as 10.0.0.7."),
    ),
    "topologySpreadConstraints": a_list(
        "How pods spread over the cluster; a patch merges them by topologyKey.",
        "A Kubernetes TopologySpreadConstraint.",
        topologyKey=string("Label of the nodes that says what a place is, such as kubernetes.io/hostname."),
    ),
    "resourceClaims": a_list(
        "Devices by dynamic resource allocation; a patch merges them by name.",
        "A Kubernetes PodResourceClaim.",
        name=string("Name by which containers refer to the claim."),
    ),
    "schedulingGates": a_list(
        "What must be lifted before the pod is scheduled; a patch merges them by name.",
        "A Kubernetes PodSchedulingGate.",
        name=string("Name of the gate, such as example.com/quota."),
    ),
    "nodeSelector": a_map("Labels that a node must have, such as nvidia.com/gpu.product: NVIDIA-H100.", STRING_VALUE),
    "terminationGracePeriodSeconds": {
        "type": "integer",
        "nullable": True,
        "minimum": 0,
        "description": "Seconds that a pod gets to end, the preStop hook included. Unset means 70 for a server "
        "without a preStop hook of its own: 10 for the hook, 60 to finish its requests.",
    },
}


def _template(spec: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {
            "metadata": {
                "type": "object",
                "nullable": True,
                "description": "Labels and annotations of the pods.",
                "properties": {
                    "labels": a_map("Labels of the pods. Those of the operator win over them.", STRING_VALUE),
                    "annotations": a_map("Annotations of the pods.", STRING_VALUE),
                },
            },
            "spec": spec,
        },
    }


def _pod_spec(containers: Schema) -> Schema:
    return an_open("A Kubernetes PodSpec (kubectl explain pod.spec).", containers=containers, **POD_SPEC)


SERVING_CONTAINERS = _containers("Containers of the pod; user-container is the one that serves.", *SERVER_RULES) | {
    "minItems": 1,
    "nullable": False,
    "x-kubernetes-validations": POD_RULES,
}

PodTemplate = Annotated[
    dict[str, Any],
    AfterValidator(not_too_deep),
    Field(
        json_schema_extra=lambda schema: schema.update(
            _template(_pod_spec(SERVING_CONTAINERS) | {"nullable": False, "required": ["containers"]})
            | {"required": ["spec"]}
        )
    ),
]
"""The whole pod template of a server; in a runtime, strings may hold `{{.PARAMETER}}`."""

PodTemplatePatch = Annotated[
    dict[str, Any],
    AfterValidator(not_too_deep),
    Field(
        json_schema_extra=lambda schema: schema.update(
            _template(_pod_spec(_containers("Containers to change or to add, by name.")))
        )
    ),
]
"""A strategic merge patch of the runtime's pod template; containers are optional, and merged by name."""
