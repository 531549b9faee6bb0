"""What a kubelet writes into a pod's status, piece by piece."""

from typing import Any

from mlservice.api.meta import Object


def container(name: str = "user-container", ready: bool = False, restarts: int = 0, **state: Any) -> Object:
    """An entry of containerStatuses."""
    return {"name": name, "image": "x:1", "imageID": "", "ready": ready, "restartCount": restarts, **state}


def waiting(reason: str, message: str = "") -> Object:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def running(started: str = "2026-01-01T11:00:00Z") -> Object:
    return {"state": {"running": {"startedAt": started}}}


def ended(code: int, message: str = "", reason: str = "Error") -> Object:
    """A value of state or lastState."""
    return {"terminated": {"exitCode": code, "message": message, "reason": reason}}


def a_condition(type_: str, status: str, since: str = "2026-01-01T11:00:00Z", **more: Any) -> Object:
    return {"type": type_, "status": status, "lastTransitionTime": since, **more}
