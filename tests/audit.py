"""The API server's audit log: who did what, where, and which binding allowed it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
"""


class Audit:
    """The log of one API server, which is started with `flags`."""

    def __init__(self, folder: Path) -> None:
        self.log, policy = folder / "audit.log", folder / "audit-policy.yaml"
        policy.write_text(POLICY)
        self.flags = [f"--audit-policy-file={policy}", f"--audit-log-path={self.log}", "--audit-log-maxsize=0"]

    def of(self, user: str) -> Iterator[dict[str, Any]]:
        """The requests of a user, each once, in the order of their answers; a watch is there once it has ended, too."""
        seen = set()
        for line in self.log.read_text().splitlines():
            event = json.loads(line)
            if event["user"]["username"] == user and event["auditID"] not in seen:
                seen.add(event["auditID"])
                yield event
