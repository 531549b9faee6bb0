"""A small client of the API server for what the cluster tool itself needs: get, apply, patch and wait."""

import base64
import http.client
import json
import ssl
import tempfile
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from local_cluster.report import Failure

MANAGER = "local-cluster"


class Api:
    """The API server of a kubeconfig that holds a client certificate."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self.host = urllib.parse.urlsplit(cluster["server"]).netloc
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.tls = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as pair:  # the ssl module takes a client certificate from a file only
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]))
            pair.flush()
            self.tls.load_cert_chain(pair.name)

    def request(self, method: str, path: str, body: str = "", content_type: str = "") -> tuple[int, str]:
        """One request; returns status and body. Raises OSError when nobody answers."""
        connection = http.client.HTTPSConnection(self.host, context=self.tls, timeout=10)
        try:
            connection.request(method, path, body or None, {"Content-Type": content_type} if content_type else {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at a path; None when it does not exist."""
        status, body = self.request("GET", path)
        if status == 404:
            return None
        return self._object("GET", path, status, body)

    def apply(self, path: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Server-side apply."""
        query = f"{path}?fieldManager={MANAGER}&force=true"
        status, body = self.request("PATCH", query, json.dumps(manifest), "application/apply-patch+yaml")
        return self._object("PATCH", path, status, body)

    def create(self, collection: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create an object that is not there yet."""
        status, body = self.request("POST", collection, json.dumps(manifest), "application/json")
        return self._object("POST", collection, status, body)

    def merge(self, path: str, patch: dict[str, Any]) -> dict[str, Any]:
        """JSON merge patch."""
        status, body = self.request("PATCH", path, json.dumps(patch), "application/merge-patch+json")
        return self._object("PATCH", path, status, body)

    def is_serving(self) -> bool:
        """Are requests of the administrator answered? That is a second before /readyz."""
        try:
            return self.request("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?limit=1")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def is_ready(self) -> bool:
        """Does /readyz answer 200?"""
        try:
            return self.request("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _object(self, method: str, path: str, status: int, body: str) -> dict[str, Any]:
        if status not in (200, 201):
            raise Failure(f"The API server {self.host} answered {status} to {method} {path}: {body[:500]}")
        content: dict[str, Any] = json.loads(body)
        return content


def wait(what: str, condition: Callable[[], bool], seconds: float, explain: Callable[[], str]) -> None:
    """Wait until the condition holds; after `seconds` a Failure with what `explain` finds in the logs."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what} did not happen within {seconds:.0f} s.", explain())
        time.sleep(0.1)
