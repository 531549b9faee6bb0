"""A local Kubernetes without a Docker engine and without a registry. CLUSTER=kind or current uses another one."""

import argparse
import contextlib
import os
import shutil
import sys
from pathlib import Path

from local_cluster import binaries, checkout, images, install, status, supervision, volume
from local_cluster.api import Api
from local_cluster.apiserver import ApiLevel
from local_cluster.cluster import Cluster
from local_cluster.provider import Current, Kind, Local, Provider
from local_cluster.report import Failure, Stopwatch
from local_cluster.settings import Settings
from local_cluster.state import DEFAULT, State

API_LEVEL = checkout.LOCAL / "api"


def main() -> None:
    """Run one verb; a Failure is printed without a traceback and ends with status 1."""
    arguments = parser().parse_args()
    try:
        arguments.run(arguments)
    except Failure as failure:
        sys.stdout.flush()
        sys.exit(f"Error: {failure}")
    except KeyboardInterrupt:
        sys.exit("Interrupted. The same command can be run again.")


def parser() -> argparse.ArgumentParser:
    """The verbs and their options."""
    top = argparse.ArgumentParser(prog="python -m local_cluster", description=__doc__)
    verbs = top.add_subparsers(title="verbs", required=True)

    verb = verbs.add_parser("up", help="start the cluster, or heal it")
    verb.add_argument("--level", choices=["node", "api"], default="node", help="api: control plane only, without root")
    verb.add_argument("--gpus", type=int, help="make-believe GPUs of the node (default 1)")
    verb.add_argument("--http-port", type=int, help="port of the Gateway on 127.0.0.1 (default 80)")
    verb.add_argument("--network", type=int, help="number of its networks, for clusters side by side (default 0)")
    verb.set_defaults(run=up)

    verb = verbs.add_parser("down", help="stop the cluster and remove what it left")
    verb.add_argument("--purge", action="store_true", help="remove the image store too")
    verb.set_defaults(run=down)

    verb = verbs.add_parser("status", help="what runs and how it is; ends with 1 unless all is well")
    verb.set_defaults(run=show_status)

    verb = verbs.add_parser("load", help="build images and bring them into the cluster")
    verb.add_argument("images", nargs="+", metavar="IMAGE", help=", ".join(images.RECIPES))
    verb.set_defaults(run=load)

    verb = verbs.add_parser("install", help="load the operator's image and apply deploy/")
    verb.set_defaults(run=install_operator)

    verb = verbs.add_parser("uninstall", help="remove the operator and its definitions")
    verb.set_defaults(run=uninstall_operator)

    verb = verbs.add_parser("volume", help="make a folder of this machine the volume of a claim")
    verb.add_argument("claim", help="name of the PersistentVolumeClaim")
    verb.add_argument("-n", "--namespace", default="default")
    verb.set_defaults(run=provide_volume)

    verb = verbs.add_parser("logs", help="the log of a program, for example kubelet")
    verb.add_argument("component")
    verb.add_argument("-f", "--follow", action="store_true")
    verb.set_defaults(run=logs)

    verb = verbs.add_parser("binaries", help="build the programs of a level into the cache")
    verb.add_argument("--level", choices=["node", "api"], default="node")
    verb.set_defaults(run=build_binaries)

    verb = verbs.add_parser("path", help="print the path of a program, for example kubectl; built if missing")
    verb.add_argument("name")
    verb.set_defaults(run=print_path)

    for verb in verbs.choices.values():
        verb.add_argument("--state", type=Path, default=DEFAULT, help=f"the cluster's folder (default {DEFAULT})")
    return top


def provider(arguments: argparse.Namespace) -> Provider:
    """The kind of cluster that the environment variable CLUSTER names."""
    name = os.environ.get("CLUSTER") or "local"
    if name == "local":
        return Local(State(arguments.state.absolute()))
    if name in ("kind", "current"):
        return Kind() if name == "kind" else Current()
    raise Failure(f"CLUSTER={name} is not known.", "It may be local, kind or current.")


def up(arguments: argparse.Namespace) -> None:
    """Bring the cluster up."""
    watch = Stopwatch()
    if arguments.level == "api":
        ApiLevel(controllers=True, scheduler=True, kwok=True, folder=API_LEVEL, owned=False).up(watch)
        checkout.publish(API_LEVEL / "pki" / "admin.kubeconfig")
    else:
        cluster = provider(arguments)
        if isinstance(cluster, Local):
            cluster.asked = (arguments.network, arguments.gpus, arguments.http_port)
        cluster.create(watch)
    watch.say("The cluster is up. Try:")
    which = "" if arguments.state == DEFAULT else f" --state {arguments.state}"
    print(f"  export KUBECONFIG={status.shown(status.kubeconfig(State(arguments.state.absolute())))}")
    print(f"  {binaries.path('kubectl')} get nodes")
    print(f"  python -m local_cluster status{which}")
    print(f"  python -m local_cluster down{which}")


def down(arguments: argparse.Namespace) -> None:
    """Take the cluster down."""
    watch = Stopwatch()
    if API_LEVEL.exists():
        checkout.withdraw(API_LEVEL / "pki" / "admin.kubeconfig")
        ApiLevel(folder=API_LEVEL, owned=False).stop()
        watch.say("The API level is down")
    cluster = provider(arguments)
    if not isinstance(cluster, Local):
        cluster.delete()
    elif arguments.state.exists():
        cluster.delete(purge=arguments.purge)
    if arguments.purge:
        shutil.rmtree(checkout.LOCAL, ignore_errors=True)
    watch.say("No cluster runs. Start one: python -m local_cluster up")


def show_status(arguments: argparse.Namespace) -> None:
    """Print how the cluster is."""
    state = State(arguments.state.absolute())
    well = False
    if supervision.running_in(API_LEVEL):
        print(f"{'CLUSTER':<9}API level in {status.shown(API_LEVEL)}\n\n{status.programs(API_LEVEL)}")
        well = True
    settings = Settings.read(state)
    if settings is not None:
        text, well = status.node_level(Cluster(state, settings))
        print(text)
    if not well:
        raise Failure("The cluster is not well." if settings else "No cluster runs.", "python -m local_cluster up")


def load(arguments: argparse.Namespace) -> None:
    """Build and load images, and print their full names."""
    watch = Stopwatch()
    provider(arguments).load(arguments.images, watch)
    for name in arguments.images:
        print(f"{name} -> {images.reference(name)}")


def install_operator(arguments: argparse.Namespace) -> None:
    """Bring the operator into the cluster."""
    watch = Stopwatch()
    kind = os.environ.get("CLUSTER") or "local"
    if kind != "current":
        provider(arguments).load(["operator"], watch)
    install.install(kind, http_port(arguments), watch)


def uninstall_operator(arguments: argparse.Namespace) -> None:
    """Remove the operator from the cluster."""
    install.uninstall(os.environ.get("CLUSTER") or "local", http_port(arguments), Stopwatch())


def provide_volume(arguments: argparse.Namespace) -> None:
    """Provide a claim's volume where the cluster has no provisioner, which is the local one."""
    cluster = provider(arguments)
    if not isinstance(cluster, Local):
        print(f"Nothing to do: the cluster's storage class provides the volume of claim {arguments.claim}.")
        return
    if Settings.read(cluster.state) is None:
        raise Failure(f"No cluster runs in {cluster.state.root}.", "Start one: python -m local_cluster up")
    folder = volume.provide(cluster.state, Api(cluster.state.kubeconfig), arguments.namespace, arguments.claim)
    print(f"Claim {arguments.namespace}/{arguments.claim} gets the folder {folder}: put models there.")


def http_port(arguments: argparse.Namespace) -> int:
    """The Gateway's port."""
    return (Settings.read(State(arguments.state.absolute())) or Settings()).http_port


def logs(arguments: argparse.Namespace) -> None:
    """Become `tail` on the log."""
    folders = [State(arguments.state).log, API_LEVEL / "log"]
    for folder in folders:
        path = folder / f"{arguments.component}.log"
        if path.exists():
            os.execvp("tail", ["tail", "-n", "100", *(["-F"] if arguments.follow else []), str(path)])  # noqa: S606
    known = sorted({file.stem for folder in folders for file in folder.glob("*.log")})
    raise Failure(
        f"{arguments.component} has no log.",
        f"There are: {', '.join(known)}" if known else "No cluster runs. Start one: python -m local_cluster up",
    )


def build_binaries(arguments: argparse.Namespace) -> None:
    """Build what the level needs."""
    names = binaries.API_LEVEL if arguments.level == "api" else binaries.NODE_LEVEL
    binaries.ensure(*names)
    print(f"Programs of the {arguments.level} level: {checkout.cache() / 'bin'}")


def print_path(arguments: argparse.Namespace) -> None:
    """Print where a program is, building it first when it is missing."""
    with contextlib.redirect_stdout(sys.stderr):
        binaries.ensure(arguments.name)
    print(binaries.path(arguments.name))
