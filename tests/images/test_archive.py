"""Layers and images as files."""

import json
import os
import tarfile
from pathlib import Path

import pytest
from local_cluster.images.archive import Image, write_layer
from local_cluster.images.recipe import Recipe, kept
from local_cluster.report import Failure


def tree(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"this is {name}\n")
    return folder


def test_equal_files_make_equal_layers(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", "etc/a", "etc/b")
    other = tree(tmp_path / "other", "etc/b", "etc/a")
    os.utime(other / "etc/a", (1, 1))
    layer = write_layer(one, tmp_path / "one.tar")
    assert layer.digest == write_layer(other, tmp_path / "other.tar").digest
    assert layer.size == layer.path.stat().st_size
    with tarfile.open(layer.path) as tar:
        assert {(entry.uid, entry.gid, entry.mtime) for entry in tar} == {(0, 0, 0)}


def test_an_archive_without_layers_is_small_and_names_them_all(tmp_path: Path) -> None:
    layer = write_layer(tree(tmp_path / "tree", *map(str, range(100))), tmp_path / "layer.tar")
    image = Image("localhost/small:1", "amd64", (layer,), {"Cmd": ["sh"]})
    image.write(tmp_path / "whole.tar")
    image.write(tmp_path / "thin.tar", with_layers=False)
    assert (tmp_path / "whole.tar").stat().st_size > layer.size > (tmp_path / "thin.tar").stat().st_size
    with tarfile.open(tmp_path / "thin.tar") as tar:
        index = json.load(tar.extractfile("index.json") or pytest.fail("no index"))
        name = index["manifests"][0]["digest"].replace(":", "/")
        manifest = json.load(tar.extractfile(f"blobs/{name}") or pytest.fail("no manifest"))
    assert [found["digest"] for found in manifest["layers"]] == [layer.digest]


def test_the_tag_follows_the_content_of_the_inputs(tmp_path: Path) -> None:
    source = tree(tmp_path / "source", "main.py", "__pycache__/main.pyc")
    recipe = Recipe("demo", (source,), lambda tree, watch: None, seconds=1)
    child = Recipe("child", (), lambda tree, watch: None, seconds=1, parent=recipe)
    before, below = recipe.reference, child.reference
    (source / "__pycache__" / "main.pyc").write_text("compiled again")
    assert recipe.reference == before
    (source / "main.py").write_text("changed")
    assert recipe.reference != before
    assert child.reference != below


def test_a_build_that_fails_leaves_nothing_and_the_next_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "demo"
    with pytest.raises(RuntimeError), kept(folder) as empty:
        assert empty
        tree(empty, "half")
        raise RuntimeError
    assert not folder.exists()
    killed = tree(folder.parent / ".demo.tmp-killed", "half")
    with kept(folder) as empty:
        assert empty
        tree(empty, "whole")
    assert not killed.exists()
    assert (folder / "whole").exists()
    with kept(folder) as empty:
        assert empty is None


def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="is full") as raised, kept(tmp_path / "demo"):
        Path("/dev/full").write_text("one byte too many")
    assert "XDG_CACHE_HOME" in raised.value.todo
