"""The `mlservice` command: run the operator, show what it would do, print the CRDs."""

import argparse
import gc
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from kubernetes.aio.config import ConfigException
from pydantic import ValidationError

from mlservice import __version__
from mlservice.api import crd
from mlservice.api.settings import Settings
from mlservice.cli import plan
from mlservice.cli.yaml_text import yaml_text
from mlservice.cluster.deep_json import read_deep_json
from mlservice.controller import operator

ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {10: r"\n", 13: r"\r", 9: "\t"}


class OneLine(logging.Formatter):
    """A message quotes what users and their pods say: their line breaks must not look like lines of the operator."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record).translate(ESCAPED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="mlservice", description="Operator of MLService and MLServiceRuntime.")
    parser.add_argument("--version", action="version", version=f"mlservice {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="run the operator (the default)")
    plan.add_parser(commands)
    crds = commands.add_parser("crds", help="print the CustomResourceDefinitions")
    crds.add_argument("--write", type=Path, metavar="FOLDER", help="write them there instead, one file a kind")
    crds.set_defaults(run=lambda chosen: _crds(chosen.write))
    parser.set_defaults(run=lambda _: _run())
    return _exit_status(parser, arguments)


def kubectl(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the kubectl plugin, `kubectl mls`."""
    parser = argparse.ArgumentParser(prog="kubectl mls", description="MLServices of a cluster.")
    plan.add_parser(parser.add_subparsers(dest="command", metavar="COMMAND", required=True))
    return _exit_status(parser, arguments)


def _exit_status(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    read_deep_json()
    chosen = parser.parse_args(arguments)
    return int(chosen.run(chosen))


def manifest(file: str) -> str:
    """The text of one file of crds/."""
    header = "# Generated from operator/mlservice/api by `make crds`: do not edit.\n"
    return header + yaml_text(crd.ALL[file]())


def _crds(folder: Path | None) -> int:
    for file in crd.ALL:
        if folder is None:
            print(f"---\n{manifest(file)}", end="")
        else:
            (folder / file).write_text(manifest(file))
            print(f"Wrote {folder / file}")
    return 0


YOUNG = 20_000
"""New objects before the garbage collector looks for cycles: one read makes a thousand, which go by themselves."""


def _run() -> int:
    try:
        settings = Settings()
    except ValidationError as error:
        print(f"A setting is wrong:\n{error}", file=sys.stderr)
        return 2
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=settings.log_level, handlers=[handler])
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("kopf._core.reactor").setLevel(logging.CRITICAL)  # handlers.watch says why its watch ended
    import uvloop  # not there on Windows, where the other commands work

    # What is imported lives as long as the process; to walk through it takes the garbage collector 60 ms each time.
    gc.freeze()
    gc.set_threshold(YOUNG)
    try:
        uvloop.run(operator.run(settings))
    except ConfigException as error:
        print(f"No cluster to work with: {error}. Set KUBECONFIG, or run inside a cluster.", file=sys.stderr)
        return 2
    return 0
