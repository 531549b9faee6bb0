"""The two servers of these tests. Starting one takes 20 s, so they are shared."""

import json
import resource
from collections.abc import Iterator

import pytest
from adapter import write_adapter
from serving import ADAPTER, KEY, LIMIT, ORIGIN, STUCK_SECONDS, Serving, serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name == "test_drain.py")


@pytest.fixture(scope="session", autouse=True)
def thousands_of_connections() -> None:
    """The servers inherit the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(
        tmp_path_factory.mktemp("vllm"), "--max-num-seqs=8", MLSERVICE_RUNTIME_STUCK_SECONDS=str(STUCK_SECONDS)
    ) as started:
        yield started


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One with a key, an origin, limits and a LoRA adapter."""
    folder = tmp_path_factory.mktemp("keyed")
    write_adapter(folder / "adapter")
    with serving(
        folder,
        f"--allowed-origins={json.dumps([ORIGIN])}",
        "--max-num-seqs=2",
        "--max-num-queued-reqs=2",
        "--enable-lora",
        "--max-lora-rank=8",
        "--lora-modules",
        f"{ADAPTER}={folder / 'adapter'}",
        VLLM_API_KEY=KEY,
        MLSERVICE_RUNTIME_MAX_BODY_BYTES=str(LIMIT),
    ) as started:
        yield started
