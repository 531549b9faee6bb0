"""One real API server a session, one operator process, one namespace a test; the tests play the other controllers."""

from collections.abc import Iterator

import pytest
from builders import a_runtime
from kube import Kube
from local_cluster.apiserver import ApiLevel
from rig import Operator, Project, install_crds


@pytest.fixture(scope="session")
def kube() -> Iterator[Kube]:
    with ApiLevel() as level:
        server = Kube(level.kubeconfig)
        install_crds(server)
        yield server


@pytest.fixture(scope="session")
def operator(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    process = Operator(kube, tmp_path_factory.mktemp("operator") / "log", MLSERVICE_SURGE_PATIENCE_SECONDS="1")
    yield process
    process.stop()


@pytest.fixture
def project(kube: Kube, operator: Operator) -> Project:
    namespace = Project(kube)
    namespace.create(a_runtime())
    return namespace
