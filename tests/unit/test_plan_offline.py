"""`mlservice plan --offline`: files in, words or objects out, and an exit status."""

import io
import json

import pytest
import yaml
from builders import a_claim, a_runtime, a_service
from mlservice.cli.main import kubectl, main

CLAIM = a_claim("weights") | {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}


@pytest.fixture
def offline(tmp_path):
    """Plans manifests offline."""

    def plan(*manifests, options=()):
        file = tmp_path / "a.yaml"
        file.write_text(yaml.safe_dump_all(m.manifest if hasattr(m, "manifest") else m for m in manifests))
        return main(["plan", "--offline", "-f", str(file), *options])

    return plan


def test_files_are_all_there_is(offline, capsys):
    assert offline(a_service().on("weights"), a_runtime(), CLAIM) == 0
    said = capsys.readouterr().out
    assert said.startswith("MLService default/llama: new\n")
    assert "Release v1: 1 pod starts" in said
    assert "rules that the API server checks between fields" in said
    assert said.endswith("Nothing was changed.\n")


def test_what_blocks_is_said_and_is_the_exit_status(offline, capsys):
    assert offline(a_service().on("weights"), a_runtime()) == 1
    assert "MLService default/llama, release v1 waits for you: PVCNotFound" in capsys.readouterr().out


def test_objects_alone(offline, capsys):
    assert offline(a_service(), a_runtime(), options=["-o", "yaml"]) == 0
    objects = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [obj["kind"] for obj in objects] == ["ControllerRevision", "Deployment", "Service", "Service"]
    assert offline(a_service(), a_runtime(), options=["-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == objects
    assert offline(a_service(), options=["-o", "yaml"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, "waits for you: RuntimeNotFound" in printed.err) == ("", True)


def test_several_services_and_what_takes_no_part(offline, capsys):
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}}
    assert offline(a_service("a"), a_service("b"), a_runtime(), job) == 0
    said = capsys.readouterr().out
    assert ("default/a: new" in said, "default/b: new" in said) == (True, True)
    assert "Job j: takes no part in a plan" in said
    assert offline(a_runtime()) == 0
    assert "No MLService is concerned." in capsys.readouterr().out


def test_manifests_that_do_not_go_together(offline, capsys):
    assert offline(a_service(), a_service()) == 2
    assert "MLService llama: is there twice" in capsys.readouterr().err
    assert offline(a_service(), options=["-n", "other"]) == 2
    assert "MLService llama: is of namespace default, -n says other" in capsys.readouterr().err


def test_standard_input_and_the_plugin(monkeypatch, capsys):
    text = yaml.safe_dump_all([a_service().manifest, a_runtime()])
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert kubectl(["plan", "--offline", "-f", "-"]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("a: b: c"))
    assert kubectl(["plan", "--offline", "-f", "-"]) == 2
    assert capsys.readouterr().err.startswith("stdin:1: no valid YAML")


def test_no_file_is_a_mistake_in_the_use(capsys):
    with pytest.raises(SystemExit) as raised:
        kubectl(["plan"])
    assert raised.value.code == 2
    assert "kubectl mls plan: error: the following arguments are required: -f" in capsys.readouterr().err
