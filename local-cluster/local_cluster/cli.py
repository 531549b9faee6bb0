"""The command line of the local cluster."""

import argparse
import contextlib
import os
import sys
from pathlib import Path

from local_cluster import binaries, cluster, gateway, packages
from local_cluster.cluster import Cluster
from local_cluster.report import Failure, Stopwatch
from local_cluster.settings import Settings
from local_cluster.state import DEFAULT, State


def main() -> None:
    """Run one verb; a Failure is printed without a traceback and ends with status 1."""
    arguments = parser().parse_args()
    try:
        arguments.run(arguments)
    except Failure as failure:
        sys.exit(f"Error: {failure}")
    except KeyboardInterrupt:
        sys.exit("Interrupted. The same command can be run again.")


def parser() -> argparse.ArgumentParser:
    """The verbs and their options."""
    top = argparse.ArgumentParser(prog="python -m local_cluster", description=__doc__)
    verbs = top.add_subparsers(title="verbs", required=True)

    verb = verbs.add_parser("up", help="start the cluster, or heal it")
    verb.add_argument("--level", choices=["node", "api"], default="node")
    verb.add_argument("--state", type=Path, default=DEFAULT, help=f"its folder (default {DEFAULT})")
    verb.add_argument("--gpus", type=int, help="make-believe GPUs of the node (default 1)")
    verb.add_argument("--http-port", type=int, help="port of the Gateway on 127.0.0.1 (default 80)")
    verb.add_argument("--network", type=int, help="number of its networks, for clusters side by side (default 0)")
    verb.set_defaults(run=up)

    verb = verbs.add_parser("down", help="stop the cluster and remove what it left")
    verb.add_argument("--state", type=Path, default=DEFAULT)
    verb.add_argument("--purge", action="store_true", help="remove the image store too")
    verb.set_defaults(run=down)

    verb = verbs.add_parser("binaries", help="build the programs of a level into the cache")
    verb.add_argument("--level", choices=["node", "api"], default="node")
    verb.set_defaults(run=build_binaries)

    verb = verbs.add_parser("path", help="print the path of a built program, for example kubectl")
    verb.add_argument("name")
    verb.set_defaults(run=print_path)
    return top


def up(arguments: argparse.Namespace) -> None:
    """Bring the cluster up."""
    watch = Stopwatch()
    cluster.require_root(os.getuid())
    packages.require(packages.NODE_LEVEL, watch)
    binaries.ensure(*binaries.NODE_LEVEL)
    gateway.install(watch)
    state = State(arguments.state)
    with state.locked():
        settings = Settings.read(state) or Settings()
        settings = settings.changed(arguments.network, arguments.gpus, arguments.http_port)
        Cluster(state, settings).up(watch)
    watch.say("up")


def down(arguments: argparse.Namespace) -> None:
    """Take the cluster down."""
    watch = Stopwatch()
    state = State(arguments.state)
    with state.locked():
        Cluster(state, Settings.read(state) or Settings()).down()
    watch.say("down")


def build_binaries(arguments: argparse.Namespace) -> None:
    """Build what the level needs."""
    names = binaries.API_LEVEL if arguments.level == "api" else binaries.NODE_LEVEL
    binaries.ensure(*names)
    print(f"Programs of the {arguments.level} level: {binaries.target('kube-apiserver').parent.parent}")


def print_path(arguments: argparse.Namespace) -> None:
    """Print where a program is, building it first when it is missing."""
    with contextlib.redirect_stdout(sys.stderr):
        binaries.ensure(arguments.name)
    print(binaries.path(arguments.name))
