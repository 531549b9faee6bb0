"""The settings of the operator that runs in the cluster: a plan with others would be another one's plan."""

import os
from typing import Any

from mlservice.api.settings import Settings
from mlservice.cluster.client import ApiError, Client
from mlservice.cluster.resources import DEPLOYMENT, Resource

CONFIG_MAP = Resource("ConfigMap", "v1", "configmaps")
OPERATOR = "mlservice-operator"
PREFIX = "MLSERVICE_"


async def installed_settings(client: Client) -> tuple[Settings, str]:
    """Return the operator's settings, those of this environment over them, and a note when they could not be read.

    They stand in the ConfigMap that its Deployment takes its environment from (deploy/).
    """
    mine = Settings()
    try:
        found = await client.get(DEPLOYMENT, mine.lease_namespace, OPERATOR)
        if found is None:
            missing = f"namespace {mine.lease_namespace} has no Deployment {OPERATOR}"
            return mine, f"planned with the settings {PREFIX}* of this environment, since {missing}"
        variables: dict[str, str] = {}
        pod = found["spec"]["template"]["spec"]
        for container in pod["containers"]:
            for source in container.get("envFrom", []):
                name = source.get("configMapRef", {}).get("name", "")
                config = await client.get(CONFIG_MAP, mine.lease_namespace, name) if name else None
                variables |= (config or {}).get("data", {})
            variables |= {v["name"]: v["value"] for v in container.get("env", []) if "value" in v}
        variables |= {f"{PREFIX}SERVICE_ACCOUNT": pod.get("serviceAccountName", "")}
    except ApiError as error:
        return mine, f"planned with the settings {PREFIX}* of this environment: {error.message}"
    known = {f"{PREFIX}{name.upper()}": name for name in Settings.model_fields}
    theirs: dict[str, Any] = {known[k]: v for k, v in variables.items() if k in known and k not in os.environ}
    return Settings(**theirs), ""
