"""The `mlservice` command: run the operator, print the CRDs."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from kubernetes.aio.config import ConfigException
from pydantic import ValidationError

from mlservice import __version__
from mlservice.api import crd
from mlservice.api.settings import Settings
from mlservice.controller import operator


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="mlservice", description="Operator of MLService and MLServiceRuntime.")
    parser.add_argument("--version", action="version", version=f"mlservice {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="run the operator (the default)")
    crds = commands.add_parser("crds", help="print the CustomResourceDefinitions")
    crds.add_argument("--write", type=Path, metavar="FOLDER", help="write them there instead, one file a kind")
    chosen = parser.parse_args(arguments)
    return _crds(chosen.write) if chosen.command == "crds" else _run()


def manifest(file: str) -> str:
    """The text of one file of crds/."""
    header = "# Generated from operator/mlservice/api by `make crds`: do not edit.\n"
    return header + yaml.safe_dump(crd.ALL[file](), sort_keys=False, width=120)


def _crds(folder: Path | None) -> int:
    for file in crd.ALL:
        if folder is None:
            print(f"---\n{manifest(file)}", end="")
        else:
            (folder / file).write_text(manifest(file))
            print(f"Wrote {folder / file}")
    return 0


def _run() -> int:
    try:
        settings = Settings()
    except ValidationError as error:
        print(f"A setting is wrong:\n{error}", file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        asyncio.run(operator.run(settings))
    except ConfigException as error:
        print(f"No cluster to work with: {error}. Set KUBECONFIG, or run inside a cluster.", file=sys.stderr)
        return 2
    return 0
