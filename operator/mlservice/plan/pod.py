"""A release's pod template: rendered runtime, user's patch, resources, weights, scheduler, defaults, in this order."""

from typing import Any

from pydantic import ValidationError

from mlservice.api.meta import DEFAULT_PORT, USER_CONTAINER, Object, mistakes, without_nulls
from mlservice.api.mlservice import ContainerResources, MLService, Release
from mlservice.api.reasons import Reason
from mlservice.api.runtime import MLServiceRuntime
from mlservice.plan import storage
from mlservice.plan.checks import check_account, check_ports, check_quantities
from mlservice.plan.labels import predictor_labels
from mlservice.plan.merge import strategic_merge
from mlservice.plan.template import render
from mlservice.plan.world import Invalid, World

TERMINATION_SECONDS = 60
"""What a server gets to finish its requests after the preStop hook."""


def pod_template(release: Release, world: World) -> Object:
    """Return the PodTemplateSpec of a release.

    The order is the contract: rendered runtime, predictor.template, containersResources, storage, scheduler, and last
    the operator's defaults, which never override what runtime or user set. Raises Invalid.
    """
    predictor = release.predictor
    runtime = checked_runtime(predictor.model.runtime, world)
    claim = storage.checked_claim(predictor.storage, world)
    rendered = render(
        runtime.spec.template, predictor.model.parameters or {}, f"MLServiceRuntime {runtime.name}: spec.template"
    )
    template = strategic_merge(rendered, without_nulls(predictor.template or {}))
    spec = template.get("spec", {})
    spec["containers"] = _with_resources(spec.get("containers") or [], predictor.containers_resources or [])
    server = user_container(template)
    server["ports"] = _with_serving_port(server, runtime.name)
    _check_port_names(spec["containers"], server)
    check_ports(server)
    check_quantities(spec)
    check_account(spec, world)
    if claim:
        spec["volumes"] = _replacing(spec.get("volumes") or [], storage.volume(claim), "name")
        server["volumeMounts"] = _replacing(server.get("volumeMounts") or [], storage.mount(claim), "mountPath")
    _schedule(template, world.service)
    _set_defaults(template, world)
    metadata = template.get("metadata") or {}
    labels = {**metadata.get("labels", {}), **predictor_labels(world.service, release.name)}
    return {"metadata": {**metadata, "labels": labels}, "spec": spec}


def checked_runtime(name: str, world: World) -> MLServiceRuntime:
    """Return the runtime by name. Raises Invalid when it is missing, disabled or has no user-container."""
    found = world.runtimes.get(name)
    if found is None:
        raise Invalid(
            Reason.RUNTIME_NOT_FOUND,
            f"MLServiceRuntime {name} does not exist in namespace {world.service.namespace}: apply it, or correct "
            "model.runtime. The release starts by itself as soon as it exists",
        )
    try:
        runtime = MLServiceRuntime.model_validate(without_nulls(found))
    except ValidationError as error:
        raise Invalid(Reason.RUNTIME_INVALID, f"MLServiceRuntime {name} cannot be read: {mistakes(error)}") from None
    if runtime.spec.enabled is False:
        raise Invalid(
            Reason.RUNTIME_DISABLED,
            f"MLServiceRuntime {name} is disabled (spec.enabled: false): enable it, or name another in model.runtime",
        )
    user_container(runtime.spec.template, name)
    return runtime


def user_container(template: Object, runtime: str = "") -> Object:
    """Return the container that serves the model. Raises Invalid when the template has none."""
    containers: list[Object] = template.get("spec", {}).get("containers") or []
    for container in containers:
        if container.get("name") == USER_CONTAINER:
            return container
    names = ", ".join(str(c.get("name")) for c in containers) or "none"
    raise Invalid(
        Reason.RUNTIME_INVALID,
        f"MLServiceRuntime {runtime} has no container named {USER_CONTAINER} (it has: {names}): rename the one that "
        "serves the model",
    )


def serving_port(template: Object) -> Object:
    """The container port that requests go to: user-container's only one, or the one named http."""
    ports: list[Object] = user_container(template)["ports"]
    return next((port for port in ports if port["name"] == "http"), ports[0])


def is_whole(template: Object) -> bool:
    """Whether a template has what each of ours has: images, and named ports of the container that serves.

    That of a live Deployment, or a part of it, may lack them: others have written over them.
    """
    containers = template.get("spec", {}).get("containers") or []
    ports = [port for c in containers if c.get("name") == USER_CONTAINER for port in c.get("ports") or []]
    named = all(port.keys() >= {"name", "containerPort", "protocol"} for port in ports)
    return bool(ports) and named and all(container.get("image") for container in containers)


def _with_serving_port(server: Object, runtime: str) -> list[Any]:
    """The container's ports, each with a name: the Services lead to names, so that a pod is always reached at its own
    port, also while a rollout changes the number. Each with a protocol, too: it is part of the key by which server-side
    apply knows a port, and an empty one would be added again by the next apply.
    """
    ports = list(server.get("ports") or []) or [{"containerPort": DEFAULT_PORT}]
    names = [p.get("name") for p in ports]
    if len(ports) > 1 and ("http" not in names or not all(names)):
        raise Invalid(
            Reason.RUNTIME_INVALID,
            f"{USER_CONTAINER} of MLServiceRuntime {runtime}, with the ports of predictor.template, has {len(ports)} "
            "ports: name all of them, and call the one that serves requests http",
        )
    return [{"name": "http", **port, "protocol": port.get("protocol") or "TCP"} for port in ports]


def _check_port_names(containers: list[Any], server: Object) -> None:
    """Kubernetes looks a named port up in all containers of a pod: the first one found would take our requests."""
    ours = {port["name"] for port in server["ports"]}
    for container in containers:
        for port in (container.get("ports") or []) if container is not server else []:
            if port.get("name") in ours:
                raise Invalid(
                    Reason.RUNTIME_INVALID,
                    f"Container {container['name']} has a port named {port['name']}, as {USER_CONTAINER} has: "
                    "rename it, or requests go to the wrong one",
                )


def _with_resources(containers: list[Any], resources: list[ContainerResources]) -> list[Any]:
    known = {c.get("name") for c in containers}
    wanted = {r.name: r.resources for r in resources}
    for name in wanted:
        if name not in known:
            raise Invalid(
                Reason.CONTAINER_NOT_FOUND,
                f"containersResources names container {name}, the pod has: {', '.join(sorted(map(str, known)))}. "
                "Correct the name",
            )
    said = {name: value for name, value in wanted.items() if value is not None}
    return [{**c, "resources": said[c["name"]]} if c.get("name") in said else dict(c) for c in containers]


def _replacing(items: list[Any], item: Object, key: str) -> list[Any]:
    return [*(other for other in items if other.get(key) != item[key]), item]


def _schedule(template: Object, service: MLService) -> None:
    scheduler = service.spec.scheduler
    if scheduler and scheduler.t9k_scheduler:
        template["spec"].setdefault("schedulerName", "t9k-scheduler")
        metadata = template.setdefault("metadata", {})
        metadata["labels"] = {
            **metadata.get("labels", {}),
            "scheduler.tensorstack.dev/queue": scheduler.t9k_scheduler.queue,
        }


def _set_defaults(template: Object, world: World) -> None:
    """Safe where it cannot break an image; what the runtime or the user sets always wins.

    Service links are off because a Service named `vllm` would set VLLM_PORT, which stops vLLM from starting.
    """
    spec, server = template["spec"], user_container(template)
    spec.setdefault("enableServiceLinks", False)
    spec.setdefault("automountServiceAccountToken", False)
    for container in spec["containers"]:
        container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    server.setdefault(
        "readinessProbe",
        {"tcpSocket": {"port": serving_port(template)["name"]}, "periodSeconds": 2, "timeoutSeconds": 2},
    )
    seconds, lifecycle = world.settings.pre_stop_seconds, server.get("lifecycle", {})
    if lifecycle.get("preStop") == {}:  # no hook, not ours either; the API server refuses to make a pod with it
        if others := {event: hook for event, hook in lifecycle.items() if event != "preStop"}:
            server["lifecycle"] = others
        else:
            del server["lifecycle"]
    elif seconds and "preStop" not in lifecycle:
        grace = spec.setdefault("terminationGracePeriodSeconds", seconds + TERMINATION_SECONDS)
        if grace > seconds:
            server["lifecycle"] = {**lifecycle, "preStop": {"sleep": {"seconds": seconds}}}
