"""The image store of these tests."""

from collections.abc import Iterator

import pytest
from image_store import Store, running
from local_cluster import packages
from local_cluster.report import Stopwatch


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    packages.require(packages.NODE_LEVEL, Stopwatch())
    with running(tmp_path_factory.mktemp("store")) as store:
        yield store
