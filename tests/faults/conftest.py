"""A real API server, a proxy in front of it that breaks things, and an operator that knows only the proxy."""

from collections.abc import Iterator

import pytest
from faults.proxy import FaultProxy
from kube import Kube
from local_cluster.apiserver import ApiLevel
from rig import Operator, install_crds


@pytest.fixture(scope="session")
def kube() -> Iterator[Kube]:
    with ApiLevel() as level:
        server = Kube(level.kubeconfig)
        install_crds(server)
        yield server


@pytest.fixture(scope="session")
def proxy(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with FaultProxy(kube.kubeconfig, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def operator(kube: Kube, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    behind = Kube(proxy.kubeconfig)
    process = Operator(behind, tmp_path_factory.mktemp("operator") / "log")
    yield process
    process.stop()
