"""The command line of the local cluster."""

import argparse
import contextlib
import sys

from local_cluster import binaries
from local_cluster.report import Failure


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

    verb = verbs.add_parser("binaries", help="build the programs of a level into the cache")
    verb.add_argument("--level", choices=["node", "api"], default="node")
    verb.set_defaults(run=build_binaries)

    verb = verbs.add_parser("path", help="print the path of a built program, for example kubectl")
    verb.add_argument("name")
    verb.set_defaults(run=print_path)
    return top


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
