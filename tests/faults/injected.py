"""What a broken network or API server does to requests and watches, each by its name."""

import itertools
import json
from collections.abc import Callable

from faults.proxy import Action, Fault


def writes(action: Action) -> Fault:
    return lambda e: action if e.write is not None else None


def every_second_write(action: Action) -> Fault:
    numbers = itertools.count()
    return lambda e: action if e.write is not None and next(numbers) % 2 == 0 else None


def requests(action: Action) -> Fault:
    return lambda e: action


def watches(change: Callable[[bytes], list[bytes]]) -> Fault:
    """Change the lines of watches that begin now; those that run are cut first, by the test."""
    return lambda e: Action(lines=change) if e.is_watch else None


def gone(line: bytes) -> list[bytes]:
    """Every watch ends at once with 410, so that all must be listed again."""
    status = {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired", "message": "injected"}
    return [json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"]


def failed(line: bytes) -> list[bytes]:
    """Every watch ends with an error that is not about its version."""
    status = {"kind": "Status", "apiVersion": "v1", "code": 500, "reason": "InternalError", "message": "injected"}
    return [json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"]


def late(*resources: str) -> Fault:
    """What the watches of these kinds tell comes 1.5 s later than what the others tell; of none: of all kinds."""
    return lambda e: Action(lag_seconds=1.5) if e.is_watch and (not resources or e.resource in resources) else None


def unheard(resource: str) -> Fault:
    """Lists and watches of this kind fail; one of a name is found."""
    return lambda e: Action(status=503) if e.resource == resource else None


FAULTS: dict[str, Callable[[], Fault]] = {
    "conflict": lambda: every_second_write(Action(status=409)),
    "too many requests": lambda: requests(Action(status=429, headers=(("Retry-After", "1"),))),
    "internal error": lambda: writes(Action(status=500)),
    "unavailable": lambda: requests(Action(status=503)),
    "unauthorized": lambda: requests(Action(status=401)),
    "forbidden": lambda: requests(Action(status=403)),
    "slow": lambda: requests(Action(delay_seconds=0.5)),
    "cut before the server acts": lambda: requests(Action(cut=True)),
    "cut after the server acted": lambda: every_second_write(Action(after=lambda: None)),
    "watch lines dropped": lambda: watches(lambda line: []),
    "watch lines doubled": lambda: watches(lambda line: [line, line]),
    "watches expired": lambda: watches(gone),
    "watches failed": lambda: watches(failed),
    "watches late": late,
    "services' watch later than children's": lambda: late("mlservices"),
    "children's watches later than services'": lambda: late("deployments", "controllerrevisions", "services"),
}
