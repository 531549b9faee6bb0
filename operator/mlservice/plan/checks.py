"""What the API server would refuse without saying where: checked in the finished pod template, and said in full.

The CRD's rules check a runtime's ports and the shape of resources; parameters and patches come into play only here.
"""

import re

from mlservice.api.meta import USER_CONTAINER, Object
from mlservice.api.reasons import Reason
from mlservice.plan.quantity import quantity
from mlservice.plan.world import Invalid, World

PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
"""IANA_SVC_NAME, https://www.rfc-editor.org/rfc/rfc6335#section-5.1"""

SERVICE_PORT = 80


def check_ports(server: Object) -> None:
    """Raise Invalid when the ports of user-container, the patch's included, cannot all be ports of one Service."""
    names: dict[str, int] = {}
    for port in server["ports"]:
        name, number = str(port["name"]), port["containerPort"]
        if not PORT_NAME.fullmatch(name):
            raise _invalid(
                f"calls port {number} {name!r}: write at most 15 lower case letters, digits and '-', such as http"
            )
        if name in names:
            raise _invalid(f"has two ports named {name}, {names[name]} and {number}: give one of them another name")
        if number in names.values():
            raise _invalid(f"has port {number} twice: remove one")
        if number == SERVICE_PORT and len(server["ports"]) > 1 and name != "http":
            raise _invalid(
                f"has port 80, named {name}, beside the one that serves requests: in the Services 80 leads to that "
                "one, so let the server use another number"
            )
        names[name] = number


def check_quantities(spec: Object) -> None:
    """Raise Invalid when a resource of any container is no Kubernetes quantity."""
    for container in (spec.get("initContainers") or []) + spec["containers"]:
        resources = container.get("resources") or {}
        for kind in ("limits", "requests"):
            for name, amount in (resources.get(kind) or {}).items():
                if isinstance(amount, bool) or not isinstance(amount, str | int | float) or quantity(amount) is None:
                    raise Invalid(
                        Reason.RESOURCES_INVALID,
                        f"Container {container.get('name')}: resources.{kind}.{name} is {amount!r}, which is no "
                        "quantity: write a number with a unit if it needs one, such as 4, 500m or 64Gi",
                    )


def check_account(spec: Object, world: World) -> None:
    """Raise Invalid when the pods would run as the operator, and so have its rights in every namespace."""
    ours = world.settings.service_account
    # The API server takes the older name of the field, too.
    named = {spec.get("serviceAccountName"), spec.get("serviceAccount")}
    if ours and ours in named and world.service.namespace == world.settings.lease_namespace:
        raise Invalid(
            Reason.SERVICE_ACCOUNT_RESERVED,
            f"The pods would run as {ours}, the operator's own ServiceAccount: leave serviceAccountName out of "
            "predictor.template and of the runtime, or name another",
        )


def _invalid(what: str) -> Invalid:
    return Invalid(Reason.RUNTIME_INVALID, f"{USER_CONTAINER}, with the ports of predictor.template, {what}")
