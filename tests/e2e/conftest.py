"""One real cluster a session, with the operator installed from its image; one namespace a test."""

from collections.abc import Iterator

import pytest
from kube import Kube
from live import CLUSTER, Live, tool
from local_cluster import checkout, packages, supervision
from local_cluster.report import Stopwatch
from local_cluster.state import DEFAULT


@pytest.fixture(scope="session")
def kube() -> Iterator[Kube]:
    """The cluster; one that ran before stays up."""
    ran_before = CLUSTER != "local" or bool(supervision.running_in(DEFAULT))
    packages.require({"curl": "curl"}, Stopwatch())
    tool("up")
    if CLUSTER != "current":
        tool("load", "operator", "vllm-cpu", "busybox")
    tool("install")
    yield Kube(checkout.KUBECONFIG)
    if not ran_before:
        tool("down")


@pytest.fixture
def live(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    namespace = Live(kube, tmp_path_factory.mktemp("live"))
    yield namespace
    kube.api.request("DELETE", f"/api/v1/namespaces/{namespace.name}")
