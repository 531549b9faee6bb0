"""A real API server, a proxy in front of it that breaks things, and an operator that knows only the proxy."""

from collections.abc import Iterator

import pytest
from builders import a_runtime
from faults.proxy import FaultProxy
from kube import Kube
from local_cluster.apiserver import ApiLevel
from rig import Project, install_crds


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


@pytest.fixture
def project(kube: Kube) -> Project:
    """A namespace of its own for each test; the operator of a test watches that one only."""
    namespace = Project(kube)
    namespace.create(a_runtime())
    return namespace
