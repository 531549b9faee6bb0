"""How one release is served: the runtime and its parameters, the weights, the size, the patch of the pod."""

from typing import Annotated, Literal

from pydantic import Field

from mlservice.api.container import Resources
from mlservice.api.fields import LeftOver, NotServed, ObjectName, Unread, checked, in_words, rule
from mlservice.api.meta import Model
from mlservice.api.pod import PodTemplatePatch
from mlservice.api.storage import Storage

Replicas = Annotated[int, Field(ge=0, le=10000)]

REPLICA_BOUNDS = rule(
    "!has(self.minReplicas) || !has(self.maxReplicas) || self.maxReplicas == 0 || self.minReplicas <= self.maxReplicas",
    "minReplicas is greater than maxReplicas: raise maxReplicas, or leave it out for no upper bound",
    fieldPath=".maxReplicas",
)


class ModelSpec(Model):
    """The model server and what it is told."""

    model_config = Model.model_config | {
        "json_schema_extra": checked(asked_for=["runtime"])  # by the predictor's rule
    }

    runtime: ObjectName
    """Required. Name of the MLServiceRuntime that says how the server is run, such as vllm-openai. It is looked up in
    the namespace of the MLService. A later change of the runtime restarts nothing that serves."""

    parameters: Annotated[
        dict[str, Annotated[str, Field(json_schema_extra={"nullable": True})]] | None, Field(max_length=64)
    ] = None
    """Values for the runtime's {{.KEY}} templates, by key, such as MODEL_NAME: llama. Values are strings: quote
    numbers. Unset sets none; the runtime must have a default for each key that is unset."""

    model_uri: Annotated[Unread, LeftOver("set storage.pvc.name and storage.pvc.subPath, or storage.s3")] = None
    model_format: Annotated[Unread, LeftOver("model.runtime alone says how the model is served")] = None


class ContainerResources(Model):
    """Resources of one container."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """Name of the container, such as user-container. The pod must have it."""

    resources: Resources | None = None
    """What the container asks for and may use; it replaces the whole of what runtime and template say. Unset leaves
    that as it is, {} removes it."""


class Logger(Model):
    """Where requests and responses are logged: each as a CloudEvent, posted to every receiver."""

    mode: (
        Annotated[
            Literal["all", "request", "response"],
            Field(json_schema_extra=in_words("mode is all, request or response")),
        ]
        | None
    ) = None
    """What is logged: all, request or response. Unset means all."""

    urls: Annotated[
        list[
            Annotated[
                str,
                Field(
                    pattern=r"^https?://[^/?# ]+([/?][^ ]*)?$",
                    max_length=2048,
                    json_schema_extra=in_words(
                        "a receiver is http://HOST or https://HOST, with port and path if it needs them, such as "
                        "http://event-display"
                    ),
                ),
            ]
        ]
        | None,
        Field(max_length=16),
    ] = None
    """Receivers, such as http://event-display; each event is posted to every one. Unset logs nothing."""

    resources: Resources | None = None
    """Resources of the container that logs. Unset means none are reserved."""


class Predictor(Model):
    """How one release is served."""

    model_config = Model.model_config | {
        "json_schema_extra": checked(
            rule(
                "has(self.model) && has(self.model.runtime)",
                "model.runtime is required: name an MLServiceRuntime of this namespace. Versions that knew tensorflow, "
                "pytorch or modelFormat here are gone: put the image and its arguments into an MLServiceRuntime",
                fieldPath=".model",
                reason="FieldValueRequired",
            ),
            REPLICA_BOUNDS,
            asked_for=["model"],
        )
    }

    min_replicas: Replicas | None = None
    """Pods that always run, 0 to 10000. Unset means 1. With 0 no pod runs until somebody scales the Deployment up:
    nothing wakes an idle release yet, and the condition FieldsSupported says so."""

    max_replicas: Replicas | None = None
    """Most pods of the release, 0 to 10000. Unset or 0 means no upper bound. Nothing scales a release by itself yet;
    whoever scales its Deployment is kept within minReplicas and maxReplicas."""

    model: ModelSpec
    """Required. The model server and what it is told."""

    storage: Storage | None = None
    """Where the weights come from; they appear in user-container. Unset mounts nothing."""

    template: PodTemplatePatch | None = None
    """A strategic merge patch of the runtime's pod template, for this release alone: containers, volumes and variables
    merge by name, args are replaced whole. {{.KEY}} is not rendered here. Unset changes nothing."""

    containers_resources: Annotated[
        list[ContainerResources] | None,
        Field(
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = None
    """Resources of single containers, by name: the last word over runtime and template. Unset leaves those."""

    logger: Annotated[Logger | None, NotServed("this version logs no requests")] = None
    """Request log. Unset logs nothing. Accepted, not served by this version: the condition FieldsSupported says so."""

    resources: Annotated[Unread, LeftOver("set containersResources for user-container")] = None
    tensorflow: Annotated[Unread, LeftOver("put the image into an MLServiceRuntime and name it in model.runtime")] = (
        None
    )
    pytorch: Annotated[Unread, LeftOver("put the image into an MLServiceRuntime and name it in model.runtime")] = None
