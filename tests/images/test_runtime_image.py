"""What the runtime's image promises: what it holds, what is pulled again, whose it is, how it ends, where it asks."""

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from image_store import Container, Store
from local_cluster import images
from local_cluster.images import vllm_cpu, vllm_runtime
from local_cluster.images.archive import Image
from serving import MODEL_MAKER, free_ports, wait_until
from streams import Streams

pytestmark = pytest.mark.timeout(1500)  # what is not in the cache is built by the first test that needs it


@pytest.fixture(scope="module")
def image() -> Image:
    return images.build("vllm-cpu")


@pytest.fixture(scope="module")
def sbom(store: Store, image: Image) -> str:
    """The bill of materials at the place that the image's label names."""
    return store.run(image, "cat", image.settings["Labels"]["dev.tensorstack.sbom"])


def test_the_bill_of_materials_is_cyclonedx(sbom: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom) is None


def test_it_has_the_python_packages_and_debians(store: Store, image: Image, sbom: str) -> None:
    listed = {component["purl"] for component in json.loads(sbom)["components"]}
    code = (
        "from importlib.metadata import distributions as d; print(*{f'{x.name}=={x.version}' for x in d()}, sep='\\n')"
    )
    installed = store.run(image, "python3", "-c", code).split()
    assert len([purl for purl in listed if purl.startswith("pkg:pypi/")]) == len(installed)
    packages = store.run(image, "ls", "/var/lib/dpkg/status.d").split()
    assert {purl.partition("@")[0] for purl in listed if purl.startswith("pkg:deb/")} == {
        f"pkg:deb/debian/{name}" for name in packages
    }


def test_labels_say_the_versions_that_are_there(image: Image, sbom: str) -> None:
    versions = {component["name"]: component["version"] for component in json.loads(sbom)["components"]}
    for name in ("vllm", "torch"):
        assert versions[name] == image.settings["Labels"][f"dev.tensorstack.{name}"] + "+cpu"


def test_a_change_of_our_wheel_is_all_that_is_pulled_again(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runtime-image"
    shutil.copytree(vllm_runtime.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "mlservice_runtime" / "log.py").open("a") as module:
        module.write("CHANGED = True\n")
    monkeypatch.setattr(vllm_runtime, "FOLDER", folder)
    inputs = (folder / "pyproject.toml", folder / "mlservice_runtime")
    changed = dataclasses.replace(vllm_runtime.RECIPE, name="changed", inputs=inputs).build()
    pulled = [layer for layer in changed.layers if layer.digest not in {old.digest for old in image.layers}]
    shutil.rmtree(changed.layers[-1].path.parent)
    assert [layer.path.parent.name.partition("-")[0] for layer in pulled] == ["changed"]
    assert 0 < sum(layer.size for layer in pulled) + len(changed.config) + len(changed.manifest) < 1_000_000


def run_by(user: str, image: Image) -> Image:
    """The image with another user, which a pod's runAsUser would name."""
    name = f"localhost/vllm-cpu:user-{user.replace(':', '-')}"
    return dataclasses.replace(image, reference=name, aliases=(), settings={**image.settings, "User": user})


@pytest.mark.parametrize("user", ["2000:0", "54321:0", "54321:54321"])
def test_any_user_may_run_it(store: Store, image: Image, user: str) -> None:
    code = "import getpass, torch; open('/cache/x', 'w'); open('/tmp/x', 'w'); print(getpass.getuser())"
    printed = store.run(run_by(user, image), "python3", "-c", code, mounts=("/tmp", "/cache"))
    assert printed.strip() == "vllm"


def test_it_asks_no_hub_unless_it_is_told_to(store: Store, image: Image) -> None:
    code = "import huggingface_hub.constants as hub, transformers.utils.hub as transformers; "
    code += "print(hub.HF_HUB_OFFLINE, transformers.is_offline_mode())"
    command = ("python3", "-c", code)
    assert store.run(image, *command, mounts=("/tmp", "/cache")).split() == ["True", "True"]
    online = store.run(image, *command, mounts=("/tmp", "/cache"), env=("HF_HUB_OFFLINE=0",))
    assert online.split() == ["False", "False"]


def test_caches_of_the_image_are_where_it_may_write(image: Image) -> None:
    paths = [value for _, _, value in (v.partition("=") for v in image.settings["Env"]) if value.startswith("/")]
    code = {vllm_cpu.TARGET, f"{vllm_cpu.TARGET}/bin:/usr/local/bin:/usr/bin:/bin"}
    assert [path for path in paths if path not in code and path.split("/")[1] not in ("tmp", "cache")] == []


@contextmanager
def served(store: Store, image: Image, folder: Path) -> Iterator[tuple[Container, str]]:
    """The image as process 1 with the tiny model, for a user that nobody knows; the container and its URL."""
    subprocess.run([sys.executable, MODEL_MAKER, folder / "model"], check=True, capture_output=True)
    folder.chmod(0o755)
    port, http, grpc, metrics = free_ports(4)
    env = [f"MLSERVICE_RUNTIME_{name}_PORT={at}" for name, at in (("HTTP", http), ("GRPC", grpc), ("METRICS", metrics))]
    env += ["VLLM_CPU_KVCACHE_SPACE=1", "VLLM_CPU_OMP_THREADS_BIND=nobind", "OMP_NUM_THREADS=1"]
    arguments = ["/model", "--served-model-name=tiny", "--host=127.0.0.1", f"--port={port}", "--dtype=bfloat16"]
    arguments += ["--max-model-len=4096", "--enforce-eager", "--shutdown-timeout=3"]
    mounts = ("/tmp", "/cache", "/dev/shm", f"{folder / 'model'}:/model")
    with store.running(run_by("54321:54321", image), *arguments, mounts=mounts, env=tuple(env)) as container:
        yield container, f"http://127.0.0.1:{port}"


def is_ready(container: Container, url: str) -> bool:
    assert container.process.poll() is None, container.log.read_text()[-3000:]
    try:
        return httpx2.get(f"{url}/v2/health/ready").status_code == 200
    except httpx2.TransportError:
        return False


def test_a_stop_signal_ends_it_within_its_budget_though_streams_run(store: Store, image: Image, tmp_path: Path) -> None:
    with served(store, image, tmp_path) as (container, url):
        wait_until(lambda: is_ready(container, url), 300)
        with Streams(url, "tiny", 8, tokens=(3000, 3500)) as streams:
            streams.ending = True
            container.signal("SIGTERM")
            # 3 s for what runs and 10 s for vLLM's end, on a quiet machine.
            container.process.wait(60)
    # Each came to an end, whole or cut, or the client would still wait. One may have ended, and another begun, before
    # the eighth of them began.
    assert not streams.refused
