"""The server of most of these tests. Starting it takes 20 s, so they share it."""

from collections.abc import Iterator

import pytest
from serving import STUCK_SECONDS, Serving, serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name == "test_drain.py")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(
        tmp_path_factory.mktemp("vllm"), "--max-num-seqs=8", MLSERVICE_RUNTIME_STUCK_SECONDS=str(STUCK_SECONDS)
    ) as started:
        yield started
