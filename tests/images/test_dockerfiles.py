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


@pytest.mark.timeout(1500)
def test_what_follows_our_wheel_is_small(buildah: Buildah) -> None:
    runtime = ALL[-1]
    buildah.build(runtime)
    layers = buildah.layers(runtime)
    locked = "--requirement /opt/mlservice/runtime.lock"
    (before,) = (at for at, (instruction, _) in enumerate(layers) if locked in instruction)
    ours = [size for _, size in layers[before + 1 :]]
    assert len(ours) == 3  # two times COPY, and what is made of it
    assert sum(ours) < 1_000_000
