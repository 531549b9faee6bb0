"""What a vLLM writes until it ends, with the paths of a container: for the scripts that provoke failures."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

KEPT_LINES = 400


def written(command: Sequence[str], environment: Mapping[str, str], folder: Path, site: str = "") -> str:
    """Run a command in that folder, two minutes at most; its output, and its exit status in the last line."""
    done = subprocess.run(
        ["timeout", "120", *command],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=folder,
        check=False,
    )
    text = done.stdout.replace(site, "/opt/vllm") if site else done.stdout
    text = text.replace(str(folder), "/tmp/run")
    text = re.sub(r"[^\s\"']*/lib/python3", "/usr/lib/python3", text)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line)[:700] for line in text.splitlines()]
    left_out = [f"[{len(lines) - KEPT_LINES} lines before]"] if len(lines) > KEPT_LINES else []
    return "\n".join([*left_out, *lines[-KEPT_LINES:], f"[exit status {done.returncode}]"]) + "\n"
