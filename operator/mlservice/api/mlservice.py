"""MLService: which model is served, from which volume, in which releases, at which size."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mlservice.api.fields import NotServed, checked, in_words, rule
from mlservice.api.meta import Model
from mlservice.api.pod import PodTemplate
from mlservice.api.predictor import REPLICA_BOUNDS, ContainerResources, Logger, Predictor, Replicas
from mlservice.api.storage import DEFAULT_MOUNT_PATH, PVCStorage, Storage

__all__ = [
    "DEFAULT_MOUNT_PATH",
    "ContainerResources",
    "MLService",
    "MLServiceSpec",
    "PVCStorage",
    "Predictor",
    "Release",
    "Storage",
]

ReleaseName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        min_length=1,
        max_length=54,
        json_schema_extra=in_words(
            "a release's name is part of a host name: lower case letters, digits and '-' only, such as v1 or nov-11"
        ),
    ),
]


class Release(Model):
    """One version of the model, with its own pods, Service and URL."""

    name: ReleaseName
    """Name of the release, a DNS label unique in the service, such as v1. Together with the service's name it has at
    most 54 characters."""

    predictor: Predictor
    """How this release is served."""

    revision: Annotated[int | None, Field(ge=1)] = None
    """Hold this release at an older pod template: a number that status.releases[].revision had before (the release's
    ControllerRevisions are the list). The predictor's other fields then wait. Unset runs what the predictor says."""


class Transformer(Model):
    """A server in front of the predictor that changes requests and responses."""

    model_config = Model.model_config | {
        "json_schema_extra": checked(
            rule(
                "has(self.template) && "
                "self.template.spec.containers.all(c, c.name != 'user-container' || has(c.image))",
                "a transformer has no runtime: its template needs a container named 'user-container' with an image",
                fieldPath=".template",
                reason="FieldValueRequired",
            ),
            REPLICA_BOUNDS,
        )
    }

    min_replicas: Replicas | None = None
    """Pods that always run, 0 to 10000. Unset means 1."""

    max_replicas: Replicas | None = None
    """Most pods of the transformer, 0 to 10000. Unset or 0 means no upper bound."""

    template: PodTemplate | None = None
    """Required. Pod template of the transformer; its container named user-container takes the requests, on its only
    port, or the one named http, or 8080. The environment variable PREDICTOR_HOST tells it where the predictor is."""

    storage: Storage | None = None
    """Files that the transformer needs; they appear in user-container. Unset mounts nothing."""

    logger: Logger | None = None
    """Request log of the transformer. Unset logs nothing."""


class T9kScheduler(Model):
    """The T9k scheduler."""

    queue: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$",
            max_length=63,
            json_schema_extra=in_words(
                "a queue's name becomes a label: letters, digits, '-', '_' and '.' only; leave spec.scheduler out for "
                "the cluster's default scheduler"
            ),
        ),
    ]
    """Queue that the pods wait in, such as default. It becomes their label scheduler.tensorstack.dev/queue."""


class Scheduler(Model):
    """Which scheduler places the pods."""

    t9k_scheduler: Annotated[T9kScheduler | None, Field(alias="t9kScheduler")] = None
    """Let the scheduler named t9k-scheduler place the pods. Unset means the cluster's default scheduler."""


class MLServiceSpec(Model):
    """Which model is served, from which volume, in which releases, at which size."""

    model_config = Model.model_config | {
        "json_schema_extra": checked(
            rule(
                "self.releases.exists(r, r.name == self.default)",
                "default must be the name of one of the releases",
                messageExpression='"no release is named \'" + self.default + "\': set default to the name of one of '
                'the releases"',
                fieldPath=".default",
            ),
            rule(
                "!has(self.canary) || self.canary == '' || self.releases.exists(r, r.name == self.canary)",
                "canary must be the name of one of the releases",
                messageExpression='"no release is named \'" + self.canary + "\': set canary to the name of one of '
                'the releases, or remove it"',
                fieldPath=".canary",
            ),
            rule(
                "!has(self.canary) || self.canary != self.default",
                "canary and default name the same release: name another in canary, or remove it",
                fieldPath=".canary",
            ),
            rule(
                "!has(self.canary) || self.canary == '' || has(self.canaryTrafficPercent)",
                "canaryTrafficPercent is required with canary: set it to the percent of the requests that go to the "
                "canary, 1 to 99, or 0 for none yet",
                fieldPath=".canaryTrafficPercent",
                reason="FieldValueRequired",
            ),
            rule(
                "!has(self.canaryTrafficPercent) || self.canaryTrafficPercent >= 0 && self.canaryTrafficPercent < 100",
                "canaryTrafficPercent is 0 to 99: to send every request to the canary, make it the default",
                fieldPath=".canaryTrafficPercent",
            ),
        )
    }

    default: ReleaseName
    """Release that answers at the service's URL. A change moves the URL only once the new release has a ready pod."""

    releases: Annotated[
        list[Release],
        Field(
            min_length=1,
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    """Versions of the model, 1 to 32; all of them run, each at its own URL, also those that neither default nor canary
    names."""

    canary: Annotated[
        Annotated[str, Field(max_length=54)] | None,
        BeforeValidator(lambda value: value or None),
        NotServed("all requests go to spec.default"),
    ] = None
    """Release that takes canaryTrafficPercent of the requests, the default takes the rest. Unset means no canary.
    Accepted, not routed by this version: the condition FieldsSupported says so."""

    canary_traffic_percent: int | None = None
    """Share of the requests that go to the canary, in percent, 1 to 99. Required with canary, without effect without
    one. 0 means that the canary runs, reachable at its own URL, and takes none of the service's requests. Unset means
    no canary."""

    transformer: Annotated[Transformer | None, NotServed("requests go to the predictor directly")] = None
    """A server in front of the predictor that changes requests and responses. Unset means none. Accepted, not served by
    this version: the condition FieldsSupported says so."""

    scheduler: Scheduler | None = None
    """Which scheduler places the pods. Unset means the cluster's default scheduler."""

    run_mode: (
        Annotated[Literal["running", "paused"], Field(json_schema_extra=in_words("runMode is running or paused"))]
        | None
    ) = None
    """running or paused; paused stops all pods and keeps the URL. Unset means running."""


class MLService(Model):
    """MLService serves a model at one URL: it names the runtime, the weights, the releases and their size."""

    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: MLServiceSpec
    """Desired state."""

    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.metadata["name"])

    @property
    def namespace(self) -> str:
        return str(self.metadata["namespace"])

    @property
    def paused(self) -> bool:
        return self.spec.run_mode == "paused"
