"""Files that are written only when their content changes: kube-proxy ends when its configuration is touched."""

import os
from pathlib import Path


def write(path: Path, content: str, mode: int = 0o644) -> None:
    """Write a file, whole or not at all."""
    if path.exists() and path.read_text() == content:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=mode)
    temporary.write_text(content)
    temporary.rename(path)
