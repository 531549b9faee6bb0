"""Pods that cannot start or crash: the status carries their own words, and is as quiet as they are alike."""

import pytest
from builders import a_service
from kube import condition
from pod_states import a_condition, container, ended, running, waiting

NAME = "llama-predict-v1"
POD = f"{NAME}-1"


@pytest.fixture
def starting(project):
    project.create(a_service())
    project.reason("PredictorNotReady")
    return project


RUNNING = running()
SCHEDULED = a_condition("PodScheduled", "True")


@pytest.mark.parametrize(
    ("reason", "words", "status"),
    [
        (
            "ImagePullFailed",
            ["not found", "x:1", "pull secrets"],
            {"containerStatuses": [container(**waiting("ErrImagePull", "x:1: not found"))]},
        ),
        (
            "ContainerConfigInvalid",
            ['secret "token" not found'],
            {"containerStatuses": [container(**waiting("CreateContainerConfigError", 'secret "token" not found'))]},
        ),
        (
            "OutOfMemory",
            ["memory limit"],
            {"containerStatuses": [container(**waiting("CrashLoopBackOff"), lastState=ended(137, "", "OOMKilled"))]},
        ),
        (
            "ContainerCrashed",
            ["exit code 1", "KeyError"],
            {"containerStatuses": [container(**waiting("CrashLoopBackOff"), lastState=ended(1, "KeyError"))]},
        ),
        (
            "ContainerCrashed",
            ["container fetch", "404"],
            {"initContainerStatuses": [container("fetch", **waiting("CrashLoopBackOff"), lastState=ended(1, "404"))]},
        ),
        (
            "Unschedulable",
            ["Insufficient nvidia.com/gpu", "Free what is missing"],
            {
                "conditions": [
                    a_condition(
                        "PodScheduled",
                        "False",
                        reason="Unschedulable",
                        message="0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
                    )
                ]
            },
        ),
        (
            "PodFailed",
            ["Evicted", "low on memory"],
            {"phase": "Failed", "reason": "Evicted", "message": "low on memory"},
        ),
        (
            "ReadinessProbeFailing",
            ["11:30:00Z", "describe pod"],
            {
                "phase": "Running",
                "conditions": [a_condition("Ready", "False", "2026-01-01T11:30:00Z"), SCHEDULED],
                "containerStatuses": [container(**RUNNING)],
            },
        ),
        (
            "NodeNotReady",
            ["node gpu-7 does not answer"],
            {
                "phase": "Running",
                "conditions": [a_condition("Ready", "False"), a_condition("ContainersReady", "True"), SCHEDULED],
                "containerStatuses": [container(ready=True, **RUNNING)],
            },
        ),
        (
            "ContainersNotStarted",
            ["missing Secret or ConfigMap", "describe pod"],
            {"phase": "Pending", "conditions": [a_condition("PodReadyToStartContainers", "False"), SCHEDULED]},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_status_carries_the_pods_own_words_and_the_cure(starting, reason, words, status):
    starting.pod(NAME, POD, node="gpu-7", **status)
    ready = starting.reason(reason)
    (release,) = starting.service()["status"]["releases"]
    assert (release["reason"], release["message"]) == (reason, ready["message"])
    for word in [POD, *words]:
        assert word in ready["message"]
    starting.delete("Pod", POD, gracePeriodSeconds=0)
    starting.reason("PredictorNotReady")


def test_pod_that_waits_for_a_scheduler_that_is_not_installed(project):
    project.create(a_service().having(scheduler={"t9kScheduler": {"queue": "default"}}))
    project.pod(NAME, POD)
    assert "scheduler t9k-scheduler, which does nothing" in project.reason("Unschedulable")["message"]


CRASHES = (
    {**waiting("CrashLoopBackOff", "back-off 10s restarting"), "lastState": ended(1, "at 10:00:01: KeyError")},
    {**RUNNING, "lastState": ended(1, "at 10:03:22: KeyError")},
    {"state": ended(1, "at 10:03:59: KeyError")},
    {**waiting("CrashLoopBackOff", "back-off 40s restarting"), "lastState": ended(1, "at 10:04:00: KeyError")},
)


def test_restarts_of_several_pods_out_of_step_write_one_status(starting):
    for name in (POD, f"{NAME}-2"):
        starting.pod(NAME, name, node="a", containerStatuses=[container(**CRASHES[0])])
    starting.reason("ContainerCrashed")
    before = starting.service()["metadata"]["resourceVersion"]
    for turn in range(1, 12):
        for offset, name in enumerate((POD, f"{NAME}-2")):
            state = container(restarts=turn, **CRASHES[(turn + offset) % len(CRASHES)])
            starting.pod(NAME, name, containerStatuses=[state])
    starting.create(a_service("marker"))  # handled after all of that
    starting.reason("PredictorNotReady", "marker")
    assert condition(starting.service(), "Ready")["reason"] == "ContainerCrashed"
    assert starting.service()["metadata"]["resourceVersion"] == before


def test_mended_image_is_not_blamed_for_the_old_pod(starting):
    starting.pod(NAME, POD, node="a", containerStatuses=[container(**waiting("ErrImagePull", "not found"))])
    starting.reason("ImagePullFailed")
    spec = a_service().patched(containers=[{"name": "user-container", "image": "x:2"}]).manifest["spec"]
    starting.patch("MLService", "llama", {"spec": spec})
    starting.reason("PredictorNotReady")
    assert starting.get("Pod", POD)
