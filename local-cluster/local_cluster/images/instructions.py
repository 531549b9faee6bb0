"""What a container of a Dockerfile runs, read from the Dockerfile: it is written there and nowhere else."""

import json
import re
import shlex
from pathlib import Path
from string import Template
from typing import Any


def settings(file: Path, **arguments: str) -> dict[str, Any]:
    """The OCI image config of the instructions ENV, LABEL, EXPOSE, USER, WORKDIR and ENTRYPOINT.

    `arguments` are build arguments; those left out have the defaults of ARG.
    """
    found: dict[str, Any] = {"Env": [], "Labels": {}, "Cmd": None}
    known: dict[str, str] = {}
    for instruction, text in instructions(file):
        value = Template(text).safe_substitute(known)
        match instruction:
            case "ARG":
                name, _, default = value.partition("=")
                known[name] = arguments.get(name, default.strip('"') or known.get(name, ""))
            case "ENV":
                found["Env"] += shlex.split(value)
            case "LABEL":
                found["Labels"] |= dict(pair.split("=", 1) for pair in shlex.split(value))
            case "EXPOSE":
                found["ExposedPorts"] = {f"{port}/tcp": {} for port in value.split()}
            case "USER":
                found["User"] = value
            case "WORKDIR":
                found["WorkingDir"] = value
            case "ENTRYPOINT":
                found["Entrypoint"] = json.loads(value)
    return found


def instructions(file: Path) -> list[tuple[str, str]]:
    """Instructions and what follows them; comments are left out, also between continued lines."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in joined.splitlines() if line.strip()]
