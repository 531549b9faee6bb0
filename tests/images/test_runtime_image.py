"""What the runtime's image promises: what it holds, what is pulled again, whose it is, and that it stays at home."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from image_store import Store
from local_cluster import images
from local_cluster.images import vllm_cpu, vllm_runtime
from local_cluster.images.archive import Image

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


@pytest.mark.parametrize("user", ["2000:0", "54321:0", "54321:54321"])
def test_any_user_may_run_it(store: Store, image: Image, user: str) -> None:
    code = "import getpass, torch; open('/cache/x', 'w'); open('/tmp/x', 'w'); print(getpass.getuser())"
    printed = store.run(image, "python3", "-c", code, mounts=("/tmp", "/cache"), user=user)
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
