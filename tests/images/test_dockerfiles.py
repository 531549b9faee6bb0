"""The Dockerfiles, built instruction by instruction; see docs/images.md for what this can and cannot show."""

import pytest
from local_cluster.images.dockerfiles import ALL, Buildah, Dockerfile
from local_cluster.report import Stopwatch


@pytest.fixture(scope="module")
def buildah() -> Buildah:
    return Buildah(Stopwatch())


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("dockerfile", ALL, ids=lambda dockerfile: dockerfile.path)
def test_the_image_is_built_and_runs(buildah: Buildah, dockerfile: Dockerfile) -> None:
    assert dockerfile.expected in buildah.build(dockerfile)
