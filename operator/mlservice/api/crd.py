"""The CustomResourceDefinitions, generated from the models: `make crds` writes them to crds/."""

import json
from typing import Any

from mlservice.api.fields import rule
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
        "description": "One observation, as the Kubernetes API conventions have it.",
        "required": ["type", "status", "reason", "message", "lastTransitionTime"],
        "properties": {
            "type": _described(STRING, "What the condition is about, such as Ready."),
            "status": {
                "type": "string",
                "enum": ["True", "False", "Unknown"],
                "description": "Whether it holds: True, False or Unknown.",
            },
            "reason": _described(
                STRING, "The cause in one CamelCase word, such as PVCNotFound; docs/reference/reasons.md lists all."
            ),
            "message": _described(STRING, "What is wrong, where, and what to do, in words; may be empty."),
            "lastTransitionTime": {
                "type": "string",
                "format": "date-time",
                "description": "When the status of the condition last changed, RFC 3339, UTC.",
            },
            "observedGeneration": _described(INTEGER, "metadata.generation of the service that this speaks of."),
        },
    },
}

URL = _described(STRING, "Base URL without a trailing slash, set before the service is ready: append /v1/models.")

COMPONENT_STATUS = {
    "ready": {"type": "boolean", "description": "Whether all its pods are up to date and ready."},
    "url": _described(STRING, "URL of this release alone, without a trailing slash; it bypasses a transformer."),
    "reason": _described(
        STRING, "Why it is not ready, or what its next change would meet, in one CamelCase word; else absent."
    ),
    "message": _described(STRING, "What is wrong, where, and what to do; absent without a reason."),
    "readyReplicas": _described(
        INTEGER, "Pods that are ready, and have been for a moment, so that requests reach them."
    ),
    "totalReplicas": _described(INTEGER, "Pods that should run."),
}

MLSERVICE_STATUS = {
    "type": "object",
    "description": "Observed state, written by the operator.",
    "properties": {
        "observedGeneration": _described(
            INTEGER, "metadata.generation that this status speaks of; while it is smaller, the status is of before."
        ),
        "address": {
            "type": "object",
            "description": "Where the service answers.",
            "properties": {"url": URL},
        },
        "defaultRelease": _described(
            STRING,
            "Release that answers at the URL now: spec.default once that has a ready pod, until then the one before.",
        ),
        "canaryRelease": _described(STRING, "Release that takes the canary's share now; absent without a canary."),
        "releaseNames": _described(STRING, "Names of the releases that run, separated by commas, for kubectl get."),
        "conditions": CONDITIONS,
        "releases": {
            "type": "array",
            "description": "State of each release, in the order of spec.releases.",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "description": "State of one release.",
                "required": ["name"],
                "properties": {
                    "name": _described(STRING, "Name of the release."),
                    "trafficPercent": _described(
                        INTEGER, "Share of the requests to the service's URL that this release answers now, in percent."
                    ),
                    **COMPONENT_STATUS,
                    "revision": _described(
                        INTEGER, "Number of the pod template in force, kept in the ControllerRevision of that revision."
                    ),
                    "readyRevision": _described(INTEGER, "Number of the newest pod template that had a ready pod."),
                },
            },
        },
        "transformer": {
            "type": "object",
            "description": "State of the transformer; absent without one.",
            "properties": COMPONENT_STATUS | {"url": _described(STRING, "URL of the transformer alone.")},
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
        # `all`, so that `kubectl delete all --all` takes the services too: their Deployments alone would come back.
        categories=["all", "tensorstack"],
        schema=structural(MLService)
        | {
            "x-kubernetes-validations": [
                rule(
                    "self.spec.releases.all(r, size(self.metadata.name) + size(r.name) <= 54)",
                    "<name>-predict-<release> names a Service and must fit into 63 characters: shorten metadata.name "
                    "or the release's name, so that both together have at most 54",
                ),
                rule(
                    "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                    "metadata.name names a Service: lower case letters, digits and '-' only, beginning with a letter",
                ),
            ]
        },
        status=MLSERVICE_STATUS,
        columns=[
            {"name": "Ready", "type": "string", "jsonPath": f"{condition}.status"},
            {"name": "Reason", "type": "string", "jsonPath": f"{condition}.reason"},
            {"name": "URL", "type": "string", "jsonPath": ".status.address.url"},
            {"name": "Default", "type": "string", "priority": 1, "jsonPath": ".status.defaultRelease"},
            {"name": "Canary", "type": "string", "priority": 1, "jsonPath": ".status.canaryRelease"},
            {"name": "Releases", "type": "string", "priority": 1, "jsonPath": ".status.releaseNames"},
            {"name": "Age", "type": "date", "priority": 1, "jsonPath": ".metadata.creationTimestamp"},
        ],
    )


def mlserviceruntimes() -> dict[str, Any]:
    """The CRD of MLServiceRuntime."""
    return _crd(
        kind="MLServiceRuntime",
        plural="mlserviceruntimes",
        short="mlsr",
        categories=["tensorstack"],
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
    *,
    kind: str,
    plural: str,
    short: str,
    categories: list[str],
    schema: dict[str, Any],
    status: dict[str, Any],
    columns: list[dict[str, Any]],
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
                "categories": categories,
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
                        "openAPIV3Schema": _separate(
                            schema | {"required": ["spec"], "properties": properties | {"status": status}}
                        ),
                    },
                }
            ],
        },
    }


def _separate(schema: dict[str, Any]) -> dict[str, Any]:
    """Copy what stands in several places, which YAML would write as anchors."""
    copied: dict[str, Any] = json.loads(json.dumps(schema))
    return copied


ALL = {"mlservices.yaml": mlservices, "mlserviceruntimes.yaml": mlserviceruntimes}
"""File name in crds/ -> generator."""
