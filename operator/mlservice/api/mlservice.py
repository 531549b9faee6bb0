"""MLService: which model is served, from which volume, in which releases, at which size."""

from typing import Annotated, Any, Literal

from pydantic import Field

from mlservice.api.meta import Model
from mlservice.api.pod import PodTemplatePatch

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
ReleaseName = Annotated[str, Field(pattern=DNS_LABEL, min_length=1, max_length=54)]
Replicas = Annotated[int, Field(ge=0, le=10000)]
DEFAULT_MOUNT_PATH = "/var/lib/t9k/model"


def _rules(*rules: tuple[str, str]) -> dict[str, Any]:
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


class ModelSpec(Model):
    """The model server and what it is told."""

    runtime: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the MLServiceRuntime, in the same namespace."""

    parameters: Annotated[dict[str, str] | None, Field(max_length=64)] = None
    """Values for the runtime's {{.KEY}} templates."""


class PVCStorage(Model):
    """Weights on a PersistentVolumeClaim."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the PersistentVolumeClaim, in the same namespace."""

    sub_path: Annotated[
        str | None,
        Field(
            max_length=4096,
            json_schema_extra=_rules(
                (
                    "!self.startsWith('/') && !self.split('/').exists(p, p == '..')",
                    "subPath is relative to the volume's root: remove the leading '/' and any '..'",
                )
            ),
        ),
    ] = None
    """Directory or file inside the volume, relative to its root. Unset mounts the whole volume."""

    mount_path: Annotated[
        str | None,
        Field(
            max_length=4096,
            json_schema_extra=_rules(("self.startsWith('/')", "mountPath is absolute: let it begin with '/'")),
        ),
    ] = None
    """Where user-container sees it. Unset means /var/lib/t9k/model."""

    read_only: bool | None = None
    """Mount read-only. Unset means false, since some images write beside the model; true is safer and enough for
    vLLM."""


class S3Secret(Model):
    """Reference to a Secret."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the Secret, in the same namespace; its key .s3cfg holds an s3cmd configuration."""


class S3Storage(Model):
    """Weights in an S3 bucket."""

    secret_ref: S3Secret
    """Secret with the credentials."""

    uri: Annotated[str, Field(min_length=1, max_length=1024)]
    """Where the model lies: s3://bucket/folder/."""

    mount_path: Annotated[str | None, Field(max_length=4096)] = None
    """Where user-container sees it. Unset means /var/lib/t9k/model."""


class Storage(Model):
    """Where the weights come from; pvc or s3, not both."""

    pvc: PVCStorage | None = None
    """Weights on a PersistentVolumeClaim."""

    s3: S3Storage | None = None
    """Weights in an S3 bucket. Accepted, not yet served: the condition FieldsSupported says so."""


class ContainerResources(Model):
    """Resources of one container."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """Name of the container."""

    resources: dict[str, Any]
    """A Kubernetes ResourceRequirements; it replaces what the runtime and the template say."""


class Logger(Model):
    """Where requests and responses are logged as CloudEvents."""

    mode: Literal["all", "request", "response"] | None = None
    """What is logged. Unset means all."""

    urls: Annotated[list[str] | None, Field(max_length=16)] = None
    """Receivers; each event is posted to every one."""

    resources: dict[str, Any] | None = None
    """Resources of the logging container."""


class Predictor(Model):
    """How one release is served."""

    min_replicas: Replicas | None = None
    """Pods that always run. Unset means 1."""

    max_replicas: Replicas | None = None
    """Upper bound for an autoscaler. Unset or 0 means no bound."""

    model: ModelSpec
    """The runtime and its parameters."""

    storage: Storage | None = None
    """Where the weights come from. Unset mounts nothing."""

    template: PodTemplatePatch | None = None
    """Strategic merge patch onto the runtime's pod template: containers merge by name, args are replaced whole."""

    containers_resources: Annotated[list[ContainerResources] | None, Field(max_length=32)] = None
    """Resources per container; the last word over runtime and template."""

    logger: Logger | None = None
    """Request log. Accepted, not yet served: the condition FieldsSupported says so."""


class Release(Model):
    """One version of the model, with its own pods, Service and URL."""

    name: ReleaseName
    """Name of the release, a DNS label, unique in the service."""

    predictor: Predictor
    """How this release is served."""

    revision: Annotated[int | None, Field(ge=1)] = None
    """Hold this release at an older pod template: a number that status.releases[].revision had before (the release's
    ControllerRevisions are the list). The predictor's other fields then wait. Unset runs what the predictor says."""


class Transformer(Model):
    """A server in front of the predictor that changes requests and responses."""

    min_replicas: Replicas | None = None
    """Pods that always run. Unset means 1."""

    max_replicas: Replicas | None = None
    """Upper bound for an autoscaler."""

    template: PodTemplatePatch | None = None
    """Pod template of the transformer."""

    storage: Storage | None = None
    """Files that the transformer needs."""

    logger: Logger | None = None
    """Request log."""


class T9kScheduler(Model):
    """The T9k scheduler."""

    queue: Annotated[str, Field(min_length=1, max_length=63)]
    """Queue that the pods wait in."""


class Scheduler(Model):
    """Which scheduler places the pods."""

    t9k_scheduler: Annotated[T9kScheduler | None, Field(alias="t9kScheduler")] = None
    """Use the T9k scheduler. Unset means the cluster's default scheduler."""


class MLServiceSpec(Model):
    """Which model is served, from which volume, in which releases, at which size."""

    model_config = Model.model_config | {
        "json_schema_extra": _rules(
            (
                "self.releases.exists(r, r.name == self.default)",
                "default must be the name of one of the releases",
            ),
            (
                "!has(self.canary) || self.releases.exists(r, r.name == self.canary)",
                "canary must be the name of one of the releases",
            ),
            (
                "!has(self.canary) || self.canary != self.default",
                "canary and default must be two different releases",
            ),
        )
    }

    default: ReleaseName
    """Release that answers at the service's URL."""

    releases: Annotated[
        list[Release],
        Field(
            min_length=1,
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    """Versions of the model; all of them run, each at its own URL."""

    canary: ReleaseName | None = None
    """Release that takes canaryTrafficPercent of the requests. Accepted, not yet routed: the condition
    FieldsSupported says so."""

    canary_traffic_percent: Annotated[int | None, Field(ge=0, le=100)] = None
    """Share of the canary release, in percent."""

    transformer: Transformer | None = None
    """A server in front of the predictor. Accepted, not yet served: the condition FieldsSupported says so."""

    scheduler: Scheduler | None = None
    """Which scheduler places the pods."""

    run_mode: Literal["running", "paused"] | None = None
    """Set to paused to stop all pods and keep the URL. Unset means running."""


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
