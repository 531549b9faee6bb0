"""The operator's settings: environment variables MLSERVICE_*, each a line in docs/reference/settings.md."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of the operator; the environment variable of `url` is MLSERVICE_URL, and so on."""

    model_config = SettingsConfigDict(env_prefix="MLSERVICE_", use_attribute_docstrings=True, frozen=True)

    url: str = "http://{name}.{namespace}.svc.cluster.local"
    """URL of a service, with the placeholders {name} and {namespace}: scheme, host, and the port if clients need one.
    With a Gateway its host is the HTTPRoute's host name; keep both placeholders in it, and a dot between them, or two
    namespaces can claim one name."""

    gateway: str = ""
    """Gateway that carries the services' host names, as namespace/name or namespace/name/listener. Empty: no
    HTTPRoutes are made and services answer inside the cluster."""

    namespace: str = ""
    """Watch this namespace only. Empty: all namespaces."""

    lease_namespace: str = "mlservice-system"
    """Namespace of the Lease by which one replica of the operator is elected."""

    service_account: str = ""
    """The operator's own ServiceAccount, under which no service's pods may run. Its namespace is that of the Lease.
    deploy/ fills it in. Empty: nothing is refused."""

    workers: int = Field(default=16, ge=1, le=256)
    """Services handled at the same time."""

    verify_seconds: float = Field(default=600, ge=1)
    """How often everything is listed and compared again."""

    surge_patience_seconds: float = Field(default=30, ge=0)
    """How long a rollout's extra pod may wait for room before the old pod is stopped to make some, and a pod for its
    volumes or its scheduler before the status says so."""

    pre_stop_seconds: int = Field(default=10, ge=0)
    """How long a pod serves on after its deletion, so that every proxy has noticed. Used where the runtime has no
    preStop hook."""

    http_host: str = "0.0.0.0"  # noqa: S104  the kubelet probes the pod's address
    """Address of the operator's own server."""

    http_port: int = Field(default=8080, ge=0, le=65535)
    """Port of /healthz, /readyz and /metrics. 0 takes a free one."""

    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        parts = urlsplit(value.format(name="a", namespace="b"))
        if parts.scheme not in ("http", "https") or not parts.hostname or "{name}" not in value:
            raise ValueError(f"MLSERVICE_URL must look like http://{{name}}.{{namespace}}.example.com, it is {value!r}")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _gateway_needs_a_host(self) -> Self:
        if self.gateway and len(self.gateway.split("/")) not in (2, 3):
            raise ValueError(
                f"MLSERVICE_GATEWAY must be namespace/name or namespace/name/listener, it is {self.gateway!r}"
            )
        return self
