"""The cluster of these tests."""

from collections.abc import Iterator

import pytest
from local_cluster import packages
from local_cluster.report import Stopwatch
from side_cluster import Running


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """What looks at the machine, and what a cluster would install: no test may see that as a change of the machine."""
    packages.require(packages.NODE_LEVEL, Stopwatch())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    cluster = Running(tmp_path_factory.mktemp("c"))
    cluster.up("--gpus", "2")
    yield cluster
    cluster.down()
