"""What a cluster was asked to be, kept in its folder until `down`."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Self

from local_cluster import files, ports
from local_cluster.state import State


@dataclass(frozen=True)
class Settings:
    """`network` is the cluster's number, `gpus` the make-believe GPUs of the node, the ports are of 127.0.0.1."""

    network: int = 0
    gpus: int = 1
    http_port: int = 80
    api_port: int = 0

    @classmethod
    def read(cls, state: State) -> Self | None:
        """The settings of the last `up`; None after `down`."""
        path = state.root / "cluster.json"
        return cls(**json.loads(path.read_text())) if path.exists() else None

    def write(self, state: State) -> None:
        """Keep them for the next `up`."""
        files.write(state.root / "cluster.json", json.dumps(dataclasses.asdict(self)))

    def changed(self, network: int | None, gpus: int | None, http_port: int | None) -> Self:
        """These settings with what was asked for now; None keeps what was."""
        asked = {
            "network": network,
            "gpus": gpus,
            "http_port": http_port,
            "api_port": self.api_port or ports.free(1)[0],
        }
        return dataclasses.replace(self, **{name: value for name, value in asked.items() if value is not None})
