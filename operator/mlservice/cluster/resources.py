"""Where each kind lives in the API, and the paths that requests go to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Resource:
    kind: str
    api_version: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of a collection, an object or a subresource, such as /apis/apps/v1/namespaces/a/deployments/b/scale."""
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return (
            f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "") + (f"/{subresource}" if subresource else "")
        )


MLSERVICE = Resource("MLService", "tensorstack.dev/v1beta1", "mlservices")
RUNTIME = Resource("MLServiceRuntime", "tensorstack.dev/v1beta1", "mlserviceruntimes")
DEPLOYMENT = Resource("Deployment", "apps/v1", "deployments")
REVISION = Resource("ControllerRevision", "apps/v1", "controllerrevisions")
SERVICE = Resource("Service", "v1", "services")
HTTP_ROUTE = Resource("HTTPRoute", "gateway.networking.k8s.io/v1", "httproutes")
POD = Resource("Pod", "v1", "pods")
CLAIM = Resource("PersistentVolumeClaim", "v1", "persistentvolumeclaims")
LEASE = Resource("Lease", "coordination.k8s.io/v1", "leases")
EVENT = Resource("Event", "events.k8s.io/v1", "events")

CHILDREN = {resource.kind: resource for resource in (REVISION, DEPLOYMENT, SERVICE, HTTP_ROUTE)}
"""Kinds that an MLService owns, in the order of their writing."""
