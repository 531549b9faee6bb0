"""What users asked for, and whether the cluster is that: worked out without the plan."""

from dataclasses import dataclass, field

from kube import Object, condition
from mlservice.api.meta import LABEL_RELEASE
from rig import Project


@dataclass
class Asked:
    """By users of one namespace, and the pods that may not restart."""

    specs: dict[str, Object] = field(default_factory=dict)
    runtimes: dict[str, str] = field(default_factory=dict)
    """Each with its image."""
    pinned: dict[tuple[str, str], tuple[str, Object]] = field(default_factory=dict)
    """By service and release: what the spec said of its pods at the last rest, and the template they had."""
    updates: dict[str, set[str]] = field(default_factory=dict)
    """By service: the runtimes that nobody has edited since its update was asked for."""

    def wrong(self, project: Project) -> list[str]:
        """What users see and did not ask for."""
        wrong = []
        deployments = {d["metadata"]["name"]: d for d in project.kube.list("Deployment", project.name)}
        services = {s["metadata"]["name"]: s for s in project.kube.list("Service", project.name)}
        allowed = set()
        for name, spec in self.specs.items():
            live = project.service(name)
            routed = live["status"]["defaultRelease"]
            allowed |= {f"{name}-predict-{r['name']}" for r in spec["releases"]} | {f"{name}-predict-{routed}", name}
            if name in services:  # the one that it leads to stays until there is another that it can lead to
                allowed.add(f"{name}-predict-{services[name]['spec']['selector'][LABEL_RELEASE]}")
            serves = deployments.get(f"{name}-predict-{routed}", {}).get("status", {}).get("availableReplicas", 0) > 0
            if (condition(live, "Ready")["status"] == "True") != (serves and spec["runMode"] == "running"):
                wrong.append(f"{name}: Ready is {condition(live, 'Ready')}, its pods serve: {serves}")
            if serves and services[name]["spec"]["selector"][LABEL_RELEASE] != routed:
                wrong.append(f"{name}: the Service leads to {services[name]['spec']['selector']}, not to {routed}")
            for release in spec["releases"]:
                if deployment := deployments.get(f"{name}-predict-{release['name']}"):
                    wrong += self._release_is_wrong(name, spec, release, deployment, live)
                elif self._can_start(release):
                    wrong.append(f"{name}-predict-{release['name']} is missing")
        return wrong + [f"left over: {name}" for name in {*deployments, *services} - allowed]

    def _can_start(self, release: Object) -> bool:
        predictor = release["predictor"]
        has_runtime = predictor["model"]["runtime"] in self.runtimes
        return has_runtime and "storage" not in predictor and not release.get("revision")

    def _release_is_wrong(self, name: str, spec: Object, release: Object, made: Object, live: Object) -> list[str]:
        wrong, predictor, where = [], release["predictor"], made["metadata"]["name"]
        low, high = predictor.get("minReplicas", 1), predictor.get("maxReplicas") or 10**6
        low, high = (0, 0) if spec["runMode"] == "paused" else (low, max(low, high))
        if not low <= made["spec"]["replicas"] <= high:
            wrong.append(f"{where} has {made['spec']['replicas']} replicas, not {low} to {high}")
        container = made["spec"]["template"]["spec"]["containers"][0]
        says = next(r for r in live["status"]["releases"] if r["name"] == release["name"])
        wanted = f"--served-model-name={predictor['model']['parameters']['MODEL_NAME']}"
        if says["ready"] and not release.get("revision") and wanted not in container["args"]:
            wrong.append(f"{where} runs {container['args']}, not {wanted}")
        runtime = predictor["model"]["runtime"]
        image = self.runtimes.get(runtime)
        newest = runtime in self.updates.get(name, ()) and not release.get("revision")
        if says["ready"] and newest and image not in (None, container["image"]):
            wrong.append(f"{where} runs {container['image']}; when its update was asked for it was {image}")
        said, template = self.pinned.get((name, release["name"]), ("", {}))
        if said == _said(release) and template != _ours(made):
            wrong.append(f"{where} was rolled out, and nobody asked: {template} became {_ours(made)}")
        return wrong

    def remember(self, project: Project) -> None:
        """Take what runs at rest for what may not restart."""
        self.pinned.clear()
        for name, spec in self.specs.items():
            ready = {r["name"] for r in project.service(name)["status"]["releases"] if r["ready"]}
            for release in spec["releases"]:  # one that waits, such as for its claim, may still run what it was before
                made = project.get("Deployment", f"{name}-predict-{release['name']}")
                serves = made and made.get("status", {}).get("availableReplicas", 0) > 0
                if made and serves and release["name"] in ready and not release.get("revision"):
                    self.pinned[name, release["name"]] = _said(release), _ours(made)

    def unpin(self, service: str, release: str | None = None) -> None:
        for key in [k for k in self.pinned if k[0] == service and release in (None, k[1])]:
            del self.pinned[key]

    def unpin_what_differs(self, service: str, spec: Object) -> None:
        """Pods may restart for what the new spec says of them, or stop for it."""
        for release in [r for s, r in self.pinned if s == service]:
            says = next((r for r in spec["releases"] if r["name"] == release), None)
            runs = spec["runMode"] == "running" and says and says["predictor"].get("minReplicas", 1) > 0
            if not runs or _said(says) != self.pinned[service, release][0]:
                self.unpin(service, release)


def _said(release: Object) -> str:
    """What a release says about its pods."""
    predictor = {k: v for k, v in release["predictor"].items() if k not in ("minReplicas", "maxReplicas")}
    return str(sorted(predictor.items()))


def _ours(deployment: Object) -> Object:
    """What makes its pods another release; a stranger may add to the rest."""
    template = deployment["spec"]["template"]
    container = template["spec"]["containers"][0]
    return {**template["metadata"]["labels"], "image": container["image"], "args": container["args"]}
