"""JSON nested as deep as the API server stores it.

It takes 10,000 levels (sigs.k8s.io/json), Python's parser a thousand. Whoever may create an MLService could so end the
watches of all of them, kopf's among them, and at each new start the first list. Read must be everything; what is
nested beyond reason is refused later, in words (`api/pod.py`).
"""

import json
import sys
from json import decoder, scanner
from typing import Any

LEVELS = 50_000
"""Python's own limit of calls; one level of JSON takes up to three, and those from Python to Python no stack of C."""


class _Decoder(json.JSONDecoder):
    """Parses in C, and in Python what C's own limit of recursion (from Python 3.12 on not to be set) cuts off."""

    def __init__(self) -> None:
        super().__init__()
        self.slow: Any = json.JSONDecoder()
        self.slow.parse_object, self.slow.parse_array = decoder.JSONObject, decoder.JSONArray  # type: ignore[attr-defined]
        self.slow.scan_once = scanner.py_make_scanner(self.slow)  # type: ignore[attr-defined]

    def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
        try:
            return super().raw_decode(s, idx)
        except RecursionError:
            found: tuple[Any, int] = self.slow.raw_decode(s, idx)
            return found


def read_deep_json() -> None:
    """Let `json.loads` read what the API server sends, in this whole process: kopf's watch has no setting for it."""
    sys.setrecursionlimit(LEVELS)
    json._default_decoder = _Decoder()  # type: ignore[attr-defined]
