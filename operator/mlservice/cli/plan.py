"""`mlservice plan -f FILE`: what the operator would make of these manifests, and nothing made."""

import argparse
import asyncio
import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from kubernetes.aio import config
from pydantic import ValidationError

from mlservice.api.settings import Settings
from mlservice.cli import schema
from mlservice.cli.documents import Document, Unusable, read
from mlservice.cli.installed import installed_settings
from mlservice.cli.rehearsal import Rehearsal
from mlservice.cli.report import report
from mlservice.cli.stage import KINDS, Stage
from mlservice.cli.yaml_text import yaml_text
from mlservice.cluster.client import ApiError, Client, load_configuration

POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "plan",
        help="show what the operator would make of manifests, and change nothing",
        description="Show what the operator would make of MLServices, MLServiceRuntimes and PersistentVolumeClaims: "
        "objects, restarts, traffic, and the status that would stand. Nothing is changed.",
        epilog="Exit status: 0; 1 when a release would wait for a person; 2 when files or cluster cannot be used.",
    )
    parser.add_argument(
        "-f", "--filename", action="append", required=True, metavar="FILE", help="file, folder, or - (repeatable)"
    )
    parser.add_argument("-n", "--namespace", default="", help="namespace of manifests that name none")
    parser.add_argument("--offline", action="store_true", help="ask no cluster: the files are all there is")
    parser.add_argument("-o", "--output", choices=("yaml", "json"), help="print the objects alone")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Print the plan; returns the exit status."""
    logging.getLogger("kubernetes").setLevel(logging.ERROR)
    try:
        return asyncio.run(_run(chosen))
    except Unusable as error:
        print(error, file=sys.stderr)
    except ApiError as error:
        hint = "apply crds/ first" if error.status == 404 else "--offline plans from the files alone"
        print(f"The cluster cannot be asked ({hint}): {error.message}", file=sys.stderr)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        print(f"The cluster does not answer (--offline plans from the files alone): {error}", file=sys.stderr)
    return 2


async def _run(chosen: argparse.Namespace) -> int:
    documents = read(chosen.filename)
    _check(documents, chosen.namespace)
    notes = [document.problem("takes no part in a plan") for document in documents if document.kind not in KINDS]
    client = None if chosen.offline else await _client(notes)
    if client is None:
        notes.append("rules that the API server checks between fields (names, ports, bounds) were not checked")
    try:
        namespace = chosen.namespace or _current_namespace(offline=client is None)
        settings = await _settings(client, notes)
        taking_part = [document for document in documents if document.kind in KINDS]
        rehearsals = await _rehearsals(taking_part, namespace, settings, client, notes)
    finally:
        if client:
            await client.close()
    _print(rehearsals, notes, chosen.output)
    return 1 if any(rehearsal.blocked for rehearsal in rehearsals) else 0


def _check(documents: list[Document], namespace: str) -> None:
    """Raise Unusable with all that is wrong with the manifests themselves."""
    problems, seen = [], set()
    for document in documents:
        identity = (document.kind, document.namespace, document.name)
        if identity in seen:
            problems.append(document.problem("is there twice"))
        if namespace and document.namespace not in ("", namespace):
            problems.append(document.problem(f"is of namespace {document.namespace}, -n says {namespace}"))
        seen.add(identity)
        problems += schema.problems(document)
    if problems:
        raise Unusable("\n".join(problems))


async def _client(notes: list[str]) -> Client | None:
    try:
        return Client(await load_configuration())
    except config.ConfigException as error:
        if "KUBECONFIG" in os.environ:
            raise Unusable(f"KUBECONFIG={os.environ['KUBECONFIG']}: {error}. --offline needs none") from None
    notes.append("no cluster is configured: the files are all there is")
    return None


async def _settings(client: Client | None, notes: list[str]) -> Settings:
    try:
        settings, note = await installed_settings(client) if client else (Settings(), "")
    except ValidationError as error:
        raise Unusable(f"A setting is wrong:\n{error}") from None
    notes += [note] if note else []
    return settings


async def _rehearsals(
    documents: list[Document], namespace: str, settings: Settings, client: Client | None, notes: list[str]
) -> list[Rehearsal]:
    rehearsals, now = [], datetime.now(UTC)
    for home in dict.fromkeys(document.namespace or namespace for document in documents):
        stage = Stage(settings, home, client)
        await stage.read()
        for document in documents:
            if (document.namespace or namespace) == home:
                await stage.put(document)
        found = [await stage.rehearsal(key, now) for key in stage.concerned()]
        rehearsals += [rehearsal for rehearsal in found if rehearsal]
        notes += stage.notes
        if stage.unasked:
            notes.append(f"not checked by the API server, which you may not ask: {', '.join(stage.unasked)}")
    return rehearsals


def _current_namespace(offline: bool) -> str:
    """As kubectl: that of the kubeconfig's context, or of the pod this runs in."""
    if offline:
        return "default"
    if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
        return POD_NAMESPACE.read_text().strip()
    _, current = config.list_kube_config_contexts()
    return str(current["context"].get("namespace") or "default")


def _print(rehearsals: list[Rehearsal], notes: list[str], output: str | None) -> None:
    blocked = [
        f"MLService {r.before.service.namespace}/{r.before.service.name}{f', release {release}' if release else ''} "
        f"waits for you: {reason}"
        for r in rehearsals
        for release, reason in r.blocked.items()
    ]
    objects = [child for rehearsal in rehearsals for child in rehearsal.final.children]
    if output == "yaml":
        print("---\n".join(yaml_text(child) for child in objects), end="")
    elif output == "json":
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=2))
    else:
        print("\n\n".join(report(rehearsal) for rehearsal in rehearsals) or "No MLService is concerned.")
        print()
    for line in [*(f"Note: {note}" for note in notes), *blocked]:
        print(line, file=sys.stderr if output else sys.stdout)
    if not output:
        print("Nothing was changed.")
