"""MLServiceRuntime: how a model server is run."""

from typing import Annotated, Any

from pydantic import Field

from mlservice.api.fields import LeftOver, Unread
from mlservice.api.meta import Model
from mlservice.api.pod import PodTemplate


class RuntimeSpec(Model):
    """How a model server is run: image, arguments, ports; one runtime serves many MLServices."""

    enabled: bool | None = None
    """Whether services may use this runtime for new pods. Unset means true. false stops no pod that runs."""

    template: PodTemplate
    """Pod template of the server. Any string may hold {{.KEY}}, which is replaced by the parameter KEY of the
    MLService, or {{if .KEY}}{{.KEY}}{{else}}default{{end}} (a subset of Go's text/template: if, else, and, or, not, eq,
    ne). A change restarts nothing that serves."""

    supported_model_formats: Annotated[Unread, LeftOver("an MLService names its runtime in model.runtime")] = None


class MLServiceRuntime(Model):
    """MLServiceRuntime says how a model server is run: its image, arguments, ports and the parameters it takes."""

    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: RuntimeSpec
    """How the server is run."""

    @property
    def name(self) -> str:
        return str(self.metadata["name"])
