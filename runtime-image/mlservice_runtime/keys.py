"""API keys: compared in constant time, by their hashes, as vLLM itself does."""

import hashlib
import secrets
from collections.abc import Iterable


class Keys:
    """The accepted keys; without any, everybody is let in."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.all = tuple(key for key in keys if key)
        self.hashes = [hashlib.sha256(key.encode()).digest() for key in self.all]

    def accept(self, authorization: bytes | str | None) -> bool:
        """Whether the value of an Authorization header, or of gRPC's metadata, holds a key."""
        if not self.hashes:
            return True
        value = authorization.encode() if isinstance(authorization, str) else authorization or b""
        scheme, _, key = value.partition(b" ")
        given = hashlib.sha256(key).digest()
        found = [secrets.compare_digest(given, known) for known in self.hashes]
        return scheme.lower() == b"bearer" and any(found)
