"""One real API server a session, one operator process, one namespace a test; the tests play the other controllers.

`real_kube` is a second one, with the real controllers and scheduler and a make-believe node, for what only they show.
"""

from collections.abc import Iterator

import pytest
from builders import a_runtime
from kube import Kube, eventually
from local_cluster.apiserver import ApiLevel
from local_cluster.kwok import node
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
def project(kube: Kube, operator: Operator) -> Iterator[Project]:
    namespace = Project(kube)
    namespace.create(a_runtime())
    yield namespace
    namespace.leave()


@pytest.fixture(scope="session")
def real_kube() -> Iterator[Kube]:
    """A cluster with the real controllers and one node of 64 CPUs, 512 GiB, and one GPU, where kwok plays the pods."""
    with ApiLevel(controllers=True, scheduler=True, kwok=True) as level:
        server = Kube(level.kubeconfig)
        install_crds(server)
        server.api.apply("/api/v1/nodes/gpu-1", node("gpu-1", gpus=1, taint=False))
        yield server


@pytest.fixture(scope="session")
def real_operator(real_kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    log = tmp_path_factory.mktemp("operator") / "log"
    process = Operator(real_kube, log, MLSERVICE_SURGE_PATIENCE_SECONDS="2", MLSERVICE_PRE_STOP_SECONDS="0")
    yield process
    process.stop()


@pytest.fixture
def real_project(real_kube: Kube, real_operator: Operator) -> Iterator[Project]:
    """A namespace with the runtimes `vllm-openai`, which takes the GPU, and `light`, which takes nothing."""
    namespace = Project(real_kube)
    account = f"/api/v1/namespaces/{namespace.name}/serviceaccounts/default"
    eventually("default ServiceAccount", lambda: real_kube.api.get(account))
    namespace.create(a_runtime())
    namespace.create(a_runtime("light", resources={"requests": {"cpu": "100m"}}))
    yield namespace
    namespace.leave()
    # The garbage collector learns of a new kind, such as ours, every 30 s.
    eventually("no pods are left", lambda: not real_kube.list("Pod", namespace.name), seconds=90)
