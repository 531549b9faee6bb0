"""A program that the supervisor keeps running."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Program:
    """A long-running program.

    `after` is a URL that delays its start: https://... has to answer 200, tcp://HOST:PORT has to accept a connection,
    file://... has to exist.
    """

    name: str
    argv: list[str]
    after: str = ""
    env: dict[str, str] = field(default_factory=dict)
    on_host_network: bool = False

    def as_json(self) -> dict[str, Any]:
        """The form in which the supervisor reads it."""
        return {
            "name": self.name,
            "argv": self.argv,
            "after": self.after,
            "env": self.env,
            "on_host_network": self.on_host_network,
        }
