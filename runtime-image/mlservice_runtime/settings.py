"""The settings, all from the environment. vLLM warns about unknown variables named VLLM_*, so ours are not."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

PREFIX = "MLSERVICE_RUNTIME_"


@dataclass(frozen=True)
class Settings:
    """Each field is read from MLSERVICE_RUNTIME_<FIELD>; docs/runtime.md describes them."""

    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    stuck_seconds: int = 120
    max_body_bytes: int = 64 * 1024 * 1024
    keyed_metrics: bool = False
    admin_routes: bool = False
    folder: Path = Path("/tmp/mlservice-runtime")  # noqa: S108
    status_port: int = 8003
    termination_log: Path = Path("/dev/termination-log")
    read_ahead: bool = True
    fork: bool = True
    short_command: bool = True
    few_graphs: bool = True

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the environment; a ValueError names the variable that cannot be read."""
        known = {PREFIX + field.name.upper(): field for field in fields(cls)}
        values: dict[str, int | bool | Path] = {}
        for name, text in environment.items():
            if not name.startswith(PREFIX):
                continue
            if name not in known:
                raise ValueError(f"{name} is no setting. There are: {', '.join(sorted(known))}.")
            values[known[name].name] = value(name, known[name].type, text)
        return cls(**values)  # type: ignore[arg-type]


def value(name: str, kind: object, text: str) -> int | bool | Path:
    """The text of a variable as what the field holds."""
    if kind is Path:
        return Path(text)
    if kind is bool:
        if text.lower() not in ("0", "1", "false", "true"):
            raise ValueError(f"{name} is {text!r}. It must be 0 or 1.")
        return text.lower() in ("1", "true")
    if not text.isdecimal():
        raise ValueError(f"{name} is {text!r}. It must be a number, 0 or more.")
    return int(text)
