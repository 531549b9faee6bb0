"""Raw requests to the API server: plain dicts in and out, through the official client's configuration and login."""

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client as official
from kubernetes.aio import config

from mlservice.api.meta import MANAGER, REPAIRER, SCALER, Object
from mlservice.cluster.metrics import REQUESTS
from mlservice.cluster.resources import Resource

logger = logging.getLogger(__name__)

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
REQUEST_SECONDS = 30.0
LOGIN_SECONDS = 1.0
"""Between two looks for new credentials, while the ones there are refused."""

PAGE = 500
"""Objects per page of a list."""


NEVER = "1"
"""A resourceVersion that no object has, since etcd gives 2 to its first write: as a precondition it admits no update,
and where there is no object the API server asks for none (https://github.com/kubernetes/kubernetes/issues/106745)."""

REFUSING = (
    "failed to create typed patch object",
    "unable to convert unstructured object",
    "failed calling webhook",
    "admission webhook",
)
"""What the API server says, under codes of other errors, when a field has another name or type than the kind's, or a
quantity is none; when it cannot ask a webhook; and when a webhook that chooses its own code denies."""

PREFIX = re.compile(r"^failed to create typed patch object \([^)]*\): \.")
GO_POINTER = re.compile(r"&\{(.*)\}")


class ApiError(Exception):
    """The API server answered with an error; `message` is its own, without the words that only a program needs."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason = status, reason
        self.message = GO_POINTER.sub(r"\1", PREFIX.sub("", message))

    @property
    def is_refusal(self) -> bool:
        """Whether the object itself is refused, so that only a change of it, or of the cluster's rules, can help.

        For some refusals there is no code to know them by: see REFUSING.
        """
        return self.status in (400, 403, 404, 405, 413, 415, 422) or any(words in str(self) for words in REFUSING)

    @property
    def is_about_duplicates(self) -> bool:
        """Whether elements of a list exclude each other."""
        return self.status == 422 and "Duplicate value" in self.message


class NotLeading(Exception):
    """This replica lost the Lease: nothing may be written."""


async def all_of(calls: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Await all of them, also when one fails, and only then raise: no write is left running unseen."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, asyncio.CancelledError):  # by kopf: when its watch ends it cancels what began after it
            raise TimeoutError("a request was cancelled")
        if isinstance(result, BaseException):
            raise result
    return list(results)


async def load_configuration() -> official.Configuration:
    """Return the configuration of KUBECONFIG, else of the pod's ServiceAccount, else of ~/.kube/config.

    Raises config.ConfigException, whose message says what is missing.
    """
    configuration = official.Configuration()
    if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
        config.load_incluster_config(configuration)
    else:
        await config.load_kube_config(client_configuration=configuration)
    return configuration


class Client:
    """One connection pool to one API server."""

    def __init__(self, configuration: official.Configuration, may_write: Callable[[], bool] = lambda: True) -> None:
        self.configuration = configuration
        # The configuration knows its proxy; aiohttp would look through the environment in a thread for every request.
        configuration.client_session_kwargs = {"trust_env": False}
        self.api = official.ApiClient(configuration)
        self.may_write = may_write
        self._logged_in = float("-inf")

    async def close(self) -> None:
        await self.api.close()

    async def authorization(self) -> str:
        """Value of the Authorization header, such as `Bearer ...`; empty where a client certificate speaks for us."""
        settings = await self.configuration.auth_settings()
        return str(next((s["value"] for s in settings.values() if s["key"].lower() == "authorization"), "") or "")

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return the live object, or None when there is none."""
        try:
            return await self._call("GET", resource, resource.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def apply(self, resource: Resource, obj: Object, subresource: str = "") -> Object:
        """Server-side apply: create or update, we own what we send. Returns the live object."""
        metadata = obj["metadata"]
        path = resource.path(metadata["namespace"], metadata["name"], subresource)
        query = {"fieldManager": MANAGER, "force": "true", "fieldValidation": "Strict"}
        return await self._call("PATCH", resource, path, query, obj, APPLY, writes=True)

    async def make(self, resource: Resource, obj: Object) -> Object:
        """Server-side apply of an object that must not be there yet. Raises ApiError 409 when its name is taken."""
        return await self.apply(resource, {**obj, "metadata": {**obj["metadata"], "resourceVersion": NEVER}})

    async def rehearse(self, method: str, resource: Resource, obj: Object) -> Object:
        """Return the object as a POST, PUT or apply (PATCH) would leave it; nothing is stored."""
        metadata = obj["metadata"]
        path = resource.path(metadata["namespace"], "" if method == "POST" else metadata["name"])
        query = {"dryRun": "All", "fieldManager": MANAGER, "fieldValidation": "Strict"}
        query |= {"force": "true"} if method == "PATCH" else {}
        return await self._call(method, resource, path, query, obj, APPLY if method == "PATCH" else "application/json")

    async def overwrite(self, resource: Resource, obj: Object) -> Object:
        """Set a live object's spec to ours, lists whole, under the manager REPAIRER; returns the live object.

        Elements that somebody else added to a list stay in an apply, and then may make the whole invalid, such as two
        ports of one name.
        """
        metadata, query = obj["metadata"], {"fieldManager": REPAIRER, "fieldValidation": "Strict"}
        path = resource.path(metadata["namespace"], metadata["name"])
        return await self._call("PATCH", resource, path, query, {"spec": obj["spec"]}, MERGE, writes=True)

    async def disown(self, resource: Resource, live: Object) -> Object:
        """Take REPAIRER out of the managers again, since what it owns would never go; returns the live object.

        Raises ApiError 409 when `live`, with its managedFields whole, is not the newest.
        """
        metadata = live["metadata"]
        others = [entry for entry in metadata["managedFields"] if entry["manager"] != REPAIRER]
        kept = {"managedFields": others, "resourceVersion": metadata["resourceVersion"]}
        return await self.merge(resource, metadata["namespace"], metadata["name"], {"metadata": kept})

    async def scale(self, resource: Resource, namespace: str, name: str, replicas: int) -> Object:
        """Set the replica count under a field manager of its own; returns the live object.

        Not through the scale subresource: that remembers no manager where nobody has written the count before (the API
        server's managedfields.skipNonAppliedManager), and then nobody can tell our count from an autoscaler's.
        """
        return await self.merge(resource, namespace, name, {"spec": {"replicas": replicas}}, SCALER)

    async def delete(self, resource: Resource, obj: Object) -> None:
        """Delete this very object (by uid); one that is gone already is fine."""
        metadata = obj["metadata"]
        body = {"preconditions": {"uid": metadata["uid"]}, "propagationPolicy": "Background"}
        try:
            await self._call(
                "DELETE", resource, resource.path(metadata["namespace"], metadata["name"]), body=body, writes=True
            )
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def create(self, resource: Resource, obj: Object, gated: bool = True) -> Object:
        path = resource.path(obj["metadata"]["namespace"])
        return await self._call("POST", resource, path, {"fieldManager": MANAGER}, obj, writes=gated)

    async def replace(self, resource: Resource, obj: Object) -> Object:
        """Put the object; 409 when it changed since it was read. Not gated: the Lease is written so."""
        metadata = obj["metadata"]
        return await self._call("PUT", resource, resource.path(metadata["namespace"], metadata["name"]), body=obj)

    async def merge(
        self, resource: Resource, namespace: str, name: str, patch: Object, manager: str = MANAGER
    ) -> Object:
        path = resource.path(namespace, name)
        return await self._call("PATCH", resource, path, {"fieldManager": manager}, patch, MERGE, writes=True)

    async def pages(self, resource: Resource, namespace: str = "", selector: str = "") -> AsyncIterator[Object]:
        """Yield the list page by page, so that a large one never stands in memory whole."""
        query = {"limit": str(PAGE), "labelSelector": selector}
        while True:
            page = await self._call("GET", resource, resource.path(namespace), query)
            yield page
            if not (token := page["metadata"].get("continue")):
                return
            query["continue"] = token

    async def watch(
        self, resource: Resource, version: str, namespace: str, selector: str, *, seconds: float, silence: float
    ) -> AsyncIterator[Object]:
        """Yield watch events since `version`, for at most `seconds`; a stream silent for `silence` seconds raises."""
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "labelSelector": selector,
            "timeoutSeconds": str(int(seconds) + 1),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_SECONDS, sock_read=silence)
        response = await self._send("GET", resource.path(namespace), query, limit=timeout)
        REQUESTS.labels("WATCH", resource.plural, response.status).inc()
        async with response:
            if response.status != 200:
                raise _error(response.status, await response.read())
            rest = b""
            async for data in response.content.iter_any():  # readline() refuses lines that are longer than its buffer
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    yield _read(response.status, line)

    async def _call(
        self,
        method: str,
        resource: Resource,
        path: str,
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        writes: bool = False,
    ) -> Object:
        if writes and not self.may_write():
            raise NotLeading
        response = await self._send(method, path, query or {}, body, content_type, REQUEST_SECONDS)
        async with response:
            REQUESTS.labels(method, resource.plural, response.status).inc()
            data = await response.read()
        if response.status >= 300:
            raise _error(response.status, data)
        return _read(response.status, data)

    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Object | None = None,
        content_type: str = "application/json",
        limit: Any = REQUEST_SECONDS,
    ) -> aiohttp.ClientResponse:
        headers = {"Content-Type": content_type, "Accept": "application/json", "User-Agent": MANAGER}
        if authorization := await self.authorization():
            headers["Authorization"] = authorization
        url = f"{self.configuration.host}{path}" + (f"?{_encoded(tuple(query.items()))}" if query else "")
        answer = await self.api.call_api(method, url, headers, body, _request_timeout=limit)
        response: aiohttp.ClientResponse = answer.response
        if response.status == 401:
            await self.log_in_again()
        return response

    async def log_in_again(self) -> None:
        """Take the token that stands in the kubeconfig or its files now, for the next attempt."""
        if time.monotonic() - self._logged_in < LOGIN_SECONDS:
            return
        self._logged_in = time.monotonic()
        try:
            fresh = await load_configuration()
        except (config.ConfigException, OSError) as error:
            logger.warning("Credentials are refused, and none can be read: %s", error)
            return
        self.configuration.api_key = fresh.api_key
        self.configuration.refresh_api_key_hook = fresh.refresh_api_key_hook


@lru_cache(maxsize=64)
def _encoded(query: tuple[tuple[str, str], ...]) -> str:
    return urlencode(query)  # a twentieth of a request's time in a profile, and it is always the same dozen


def _read(status: int, data: bytes) -> Object:
    try:
        result: Object = json.loads(data)
    except ValueError:  # something between the API server and us cut it, or answers in its place
        raise ApiError(status, "Unreadable", f"the answer is no JSON: {data[:200].decode(errors='replace')}") from None
    return result


def _error(status: int, data: bytes) -> ApiError:
    try:
        body = json.loads(data)
        return ApiError(status, str(body.get("reason", "")), str(body.get("message", "")))
    except ValueError:
        return ApiError(status, "", data.decode(errors="replace")[:500])
