"""Writes what an image holds, as CycloneDX 1.6: Python, its packages, and Debian's or Ubuntu's.

It runs while the image is built, with nothing but the image's own Python. What is listed is what is installed: a lock
file names packages for other systems too, and the base image has its own. The lock files are held against it: a package
of another version than its lock says ends the build, and so does a version that a label promises and is not there.

    python3 sbom.py --lock FILE ... --expect NAME=VERSION ... --output sbom.cdx.json
"""

import argparse
import json
import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
Component = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("/"), help="where the image's files are (default: /)")
    parser.add_argument("--path", action="append", help="folder of Python packages (default: where Python looks)")
    parser.add_argument("--lock", action="append", type=Path, default=[], help="lock file of some of the packages")
    parser.add_argument("--expect", action="append", default=[], help="NAME=VERSION of a package that must be there")
    parser.add_argument("--output", type=Path, required=True)
    chosen = parser.parse_args()
    python = list(python_packages(chosen.path or sys.path, locked(chosen.lock)))
    versions = {component["name"]: component["version"] for component in python}
    for name, _, version in (text.partition("=") for text in chosen.expect):
        if versions.get(name, "nothing").partition("+")[0] != version.partition("+")[0]:
            sys.exit(f"{name} is expected to be {version}, the image has {versions.get(name, 'none')}.")
    # Looked at from outside, the image's Python is one of Debian's packages.
    own = [interpreter()] if chosen.root == Path("/") else []
    document = bom(*own, *python, *debian_packages(chosen.root))
    chosen.output.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    print(f"{chosen.output}: {len(document['components'])} components")


def bom(*components: Component) -> Component:
    """The document. Without a time and a serial number: equal images have equal layers."""
    unique = {component["bom-ref"]: component for component in components}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "mlservice-vllm", "bom-ref": "image"}},
        "components": [unique[ref] for ref in sorted(unique)],
    }


def component(kind: str, name: str, version: str, purl: str, **more: Any) -> Component:
    return {"type": kind, "name": name, "version": version, "purl": purl, "bom-ref": purl, **more}


def interpreter() -> Component:
    """The Python that runs this, which is the image's."""
    version = platform.python_version()
    return component("platform", "cpython", version, f"pkg:generic/cpython@{version}")


def locked(files: list[Path]) -> dict[str, dict[str, str]]:
    """The lock file by version, of each package that one names; a package may have a version for each Python."""
    found: dict[str, dict[str, str]] = {}
    for file in files:
        for name, version in LOCKED.findall(file.read_text()):
            found.setdefault(normalized(name), {})[version] = file.name
    return found


def python_packages(path: list[str], locks: dict[str, dict[str, str]]) -> Iterator[Component]:
    """The installed distributions; SystemExit when one is not what its lock file says."""
    for distribution in distributions(path=path):
        name, version = normalized(distribution.name), distribution.version
        lock = locks.get(name, {})
        if lock and version not in lock:
            sys.exit(f"{name} {version} is installed, {' and '.join(lock.values())} says {' or '.join(lock)}.")
        more: dict[str, Any] = {"licenses": licenses(distribution)} if licenses(distribution) else {}
        if lock:
            more["properties"] = [{"name": "mlservice:lock", "value": lock[version]}]
        yield component("library", name, version, f"pkg:pypi/{name}@{quote(version, safe='')}", **more)


def licenses(distribution: Distribution) -> list[dict[str, Any]]:
    """What a package says of its licence: an SPDX expression, else words, else the names of its classifiers."""
    metadata = distribution.metadata
    if expression := metadata.get("License-Expression"):
        return [{"expression": expression}]
    words = (metadata.get("License") or "").strip()
    if words and "\n" not in words and len(words) < 80:
        return [{"license": {"name": words}}]
    classifiers = [c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier") or () if c.startswith("License ::")]
    return [{"license": {"name": name}} for name in classifiers]


def debian_packages(root: Path) -> Iterator[Component]:
    """The installed packages of dpkg's database, or of the folder that images without dpkg have."""
    database, folder = root / "var/lib/dpkg/status", root / "var/lib/dpkg/status.d"
    texts = [database.read_text()] if database.is_file() else []
    texts += [file.read_text() for file in sorted(folder.glob("*")) if file.suffix != ".md5sums"]
    release = root / "etc/os-release"
    found = re.search(r"^ID=\"?(\w+)", release.read_text(), re.MULTILINE) if release.is_file() else None
    system = found[1] if found else "debian"
    for stanza in "\n\n".join(texts).split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
        if "Package" in fields and fields.get("Status", "install ok installed").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            purl = f"pkg:deb/{system}/{name}@{quote(version, safe='~')}?arch={fields['Architecture']}"
            yield component("library", name, version, purl)


def normalized(name: str) -> str:
    """The name of a distribution as the index writes it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
