"""Pinned revisions on a real API server: an edited runtime restarts nothing until somebody asks."""

import pytest
from builders import a_runtime, a_service
from kube import condition, eventually
from mlservice.plan.drift import contains

NEWER = a_runtime(image="vllm/vllm-openai:v0.34.0")["spec"]


@pytest.fixture
def serving(project):
    project.create(a_service())
    project.roll_out("llama-predict-v1")
    project.reason("Ready")
    return project


def image(project):
    return project.there("Deployment", "llama-predict-v1")["spec"]["template"]["spec"]["containers"][0]["image"]


def generation(project):
    return project.there("Deployment", "llama-predict-v1")["metadata"]["generation"]


def update_available(project):
    return condition(project.service(), "UpdateAvailable")


def announced(project):
    project.patch("MLServiceRuntime", "vllm-openai", {"spec": NEWER})
    return eventually(
        "the update is announced", lambda: (u := update_available(project))["status"] == "True" and u["message"]
    )


def revisions(project):
    return sorted(project.kube.list("ControllerRevision", project.name), key=lambda r: r["revision"])


def test_edited_runtime_is_announced_and_used_on_request(serving):
    before = generation(serving)
    message = announced(serving)
    assert "image: vllm/vllm-openai:v0.33.0 -> vllm/vllm-openai:v0.34.0" in message
    assert generation(serving) == before
    serving.patch("MLService", "llama", {"metadata": {"annotations": {"mlservice.tensorstack.dev/update": "1"}}})
    eventually("the newer image", lambda: image(serving) == "vllm/vllm-openai:v0.34.0")
    eventually("nothing is announced", lambda: update_available(serving)["status"] == "False")
    assert [r["revision"] for r in revisions(serving)] == [1, 2]
    assert serving.service()["status"]["releases"][0]["revision"] == 2


def test_scaling_and_labels_keep_the_revision(serving):
    announced(serving)
    serving.patch("MLService", "llama", {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}})
    scaled = a_service().with_replicas(2).manifest["spec"]["releases"]
    serving.patch("MLService", "llama", {"spec": {"releases": scaled}})
    eventually("two replicas", lambda: serving.there("Deployment", "llama-predict-v1")["spec"]["replicas"] == 2)
    assert image(serving) == "vllm/vllm-openai:v0.33.0"


def test_pause_and_resume_take_the_newest_runtime(serving):
    announced(serving)
    serving.patch("MLService", "llama", {"spec": {"runMode": "paused"}})
    eventually("no replicas", lambda: serving.there("Deployment", "llama-predict-v1")["spec"]["replicas"] == 0)
    assert image(serving) == "vllm/vllm-openai:v0.33.0"
    serving.roll_out("llama-predict-v1")
    eventually("the newer image", lambda: image(serving) == "vllm/vllm-openai:v0.34.0")


def test_runtime_of_a_release_that_never_started_can_be_mended(project):
    project.create(a_service())
    project.roll_out("llama-predict-v1", ready=0)
    project.patch("MLServiceRuntime", "vllm-openai", {"spec": NEWER})
    eventually("the newer image", lambda: image(project) == "vllm/vllm-openai:v0.34.0")


def test_roll_back_by_revision(serving):
    changed = a_service().with_parameters(MODEL_NAME="other").manifest["spec"]["releases"]
    serving.patch("MLService", "llama", {"spec": {"releases": changed}})
    eventually("a second revision", lambda: len(revisions(serving)) == 2)
    serving.patch("MLService", "llama", {"spec": {"releases": [{**changed[0], "revision": 1}]}})

    def name():
        template = serving.there("Deployment", "llama-predict-v1")["spec"]["template"]
        return template["spec"]["containers"][0]["args"][1]

    eventually("the first one runs", lambda: name() == "--served-model-name=llama")
    eventually("the status says so", lambda: serving.service()["status"]["releases"][0]["revision"] == 1)
    serving.patch("MLService", "llama", {"spec": {"releases": changed}})
    eventually("the second one runs", lambda: name() == "--served-model-name=other")


def test_deleted_revision_is_made_again_of_what_runs(serving):
    announced(serving)
    before = serving.there("Deployment", "llama-predict-v1")["spec"]
    (revision,) = revisions(serving)
    serving.delete("ControllerRevision", revision["metadata"]["name"])
    again = serving.there("ControllerRevision", revision["metadata"]["name"])
    assert again["metadata"]["uid"] != revision["metadata"]["uid"]
    assert contains(again["data"], revision["data"]) and contains(revision["data"], again["data"])
    assert serving.there("Deployment", "llama-predict-v1")["spec"] == before
