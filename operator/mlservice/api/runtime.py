"""MLServiceRuntime: how a model server is run."""

from typing import Any

from pydantic import Field

from mlservice.api.meta import Model
from mlservice.api.pod import PodTemplate


class RuntimeSpec(Model):
    """How a model server is run: image, arguments, ports; one runtime serves many MLServices."""

    enabled: bool | None = None
    """Whether services may use this runtime for new pods. Unset means true. Running pods are never stopped by it."""

    template: PodTemplate
    """Pod template of the server. Any string may hold {{.KEY}}, which is replaced by the parameter KEY of the
    MLService (a subset of Go's text/template: if, else, and, or, not, eq, ne). The container named user-container
    serves the model, on its only containerPort, or the one named http, or 8080 if it declares none."""


class MLServiceRuntime(Model):
    """MLServiceRuntime says how a model server is run: its image, arguments, ports and the parameters it takes."""

    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: RuntimeSpec
    """How the server is run."""

    @property
    def name(self) -> str:
        return str(self.metadata["name"])
