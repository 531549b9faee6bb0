"""The CustomResourceDefinitions, generated from the models: `make crds` writes them to crds/."""

from typing import Any

from mlservice.api.meta import GROUP, VERSION
from mlservice.api.mlservice import MLService
from mlservice.api.runtime import MLServiceRuntime
from mlservice.api.schema import structural

STRING = {"type": "string"}
INTEGER = {"type": "integer"}


def _described(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


CONDITIONS = {
    "type": "array",
    "description": "Ready, ReleasesReady, Paused and UpdateAvailable always; others while they matter.",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {
        "type": "object",
        "required": ["type", "status", "reason", "message", "lastTransitionTime"],
        "properties": {
            "type": _described(STRING, "What the condition is about."),
            "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "True, False, Unknown."},
            "reason": _described(STRING, "One CamelCase word: the cause. docs/reasons.md lists all."),
            "message": _described(STRING, "What is wrong and what to do."),
            "lastTransitionTime": {
                "type": "string",
                "format": "date-time",
                "description": "When the status last changed.",
            },
            "observedGeneration": _described(INTEGER, "metadata.generation that this condition speaks of."),
        },
    },
}

MLSERVICE_STATUS = {
    "type": "object",
    "description": "Observed state.",
    "properties": {
        "observedGeneration": _described(INTEGER, "metadata.generation that this status speaks of."),
        "address": {
            "type": "object",
            "description": "Where the service answers.",
            "properties": {"url": _described(STRING, "Base URL, no trailing slash: append /v1/chat/completions.")},
        },
        "defaultRelease": _described(STRING, "Release that answers at the URL now; spec.default once it is ready."),
        "canaryRelease": _described(STRING, "Release that takes the canary's share now."),
        "conditions": CONDITIONS,
        "releases": {
            "type": "array",
            "description": "State of each release.",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": _described(STRING, "Name of the release."),
                    "ready": {"type": "boolean", "description": "Whether its pods are up to date and ready."},
                    "trafficPercent": _described(INTEGER, "Share of the requests to the service's URL, in percent."),
                    "url": _described(STRING, "URL of this release alone."),
                    "reason": _described(STRING, "Why it is not ready, or what its next change would meet."),
                    "message": _described(STRING, "What is wrong and what to do."),
                    "readyReplicas": _described(INTEGER, "Pods that are ready."),
                    "totalReplicas": _described(INTEGER, "Pods that exist, starting ones included."),
                    "revision": _described(
                        INTEGER, "Number of the pod template in force, kept in the ControllerRevision of that revision."
                    ),
                    "readyRevision": _described(INTEGER, "Number of the newest pod template that had a ready pod."),
                },
            },
        },
    },
}


def mlservices() -> dict[str, Any]:
    """The CRD of MLService."""
    condition = '.status.conditions[?(@.type=="Ready")]'
    return _crd(
        kind="MLService",
        plural="mlservices",
        short="mls",
        schema=structural(MLService)
        | {
            "x-kubernetes-validations": [
                {
                    "rule": "self.spec.releases.all(r, size(self.metadata.name) + size(r.name) <= 54)",
                    "message": "<name>-predict-<release> names a Service and must fit into 63 characters: shorten "
                    "metadata.name or the release's name",
                },
                {
                    "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                    "message": "metadata.name names a Service: lower case letters, digits and '-' only, beginning "
                    "with a letter",
                },
            ]
        },
        status=MLSERVICE_STATUS,
        columns=[
            {"name": "Ready", "type": "string", "jsonPath": f"{condition}.status"},
            {"name": "Reason", "type": "string", "jsonPath": f"{condition}.reason"},
            {"name": "URL", "type": "string", "jsonPath": ".status.address.url"},
            {"name": "Default", "type": "string", "priority": 1, "jsonPath": ".status.defaultRelease"},
            {"name": "Releases", "type": "string", "priority": 1, "jsonPath": ".spec.releases[*].name"},
            {"name": "Age", "type": "date", "priority": 1, "jsonPath": ".metadata.creationTimestamp"},
        ],
    )


def mlserviceruntimes() -> dict[str, Any]:
    """The CRD of MLServiceRuntime."""
    return _crd(
        kind="MLServiceRuntime",
        plural="mlserviceruntimes",
        short="mlsr",
        schema=structural(MLServiceRuntime),
        status={"type": "object", "description": "Not used.", "x-kubernetes-preserve-unknown-fields": True},
        columns=[
            {"name": "Enabled", "type": "boolean", "jsonPath": ".spec.enabled"},
            {
                "name": "Image",
                "type": "string",
                "jsonPath": '.spec.template.spec.containers[?(@.name=="user-container")].image',
            },
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
    )


def _crd(
    *, kind: str, plural: str, short: str, schema: dict[str, Any], status: dict[str, Any], columns: list[dict[str, Any]]
) -> dict[str, Any]:
    properties = {name: value for name, value in schema["properties"].items() if name != "metadata"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {
                        "openAPIV3Schema": schema
                        | {"required": ["spec"], "properties": properties | {"status": status}},
                    },
                }
            ],
        },
    }


ALL = {"mlservices.yaml": mlservices, "mlserviceruntimes.yaml": mlserviceruntimes}
"""File name in crds/ -> generator."""
