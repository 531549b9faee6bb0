"""What pods say, and that it stays the same while they fail in the same way."""

import json
from datetime import timedelta

import pytest
from builders import NOW, a_claim, a_pod, a_service, a_world, condition, live, planned
from hypothesis import given, settings
from hypothesis import strategies as st
from mlservice.api.meta import LABEL_REVISION
from mlservice.plan.last_words import last_words
from pod_states import a_condition, container, ended, running, waiting


def diagnosed(*pods, ready=False, **world):
    """Reason and message of a service whose pods are these."""
    children = live(planned(a_world(**{k: v for k, v in world.items() if k in ("service", "claims")})), ready=ready)
    found = condition(planned(a_world(children=children, pods=pods, **world)), "Ready")
    return found["reason"], found["message"]


CRASHING = {
    "waiting to be started again": {**waiting("CrashLoopBackOff"), "lastState": ended(1, "KeyError")},
    "running again": {**running(), "lastState": ended(1, "KeyError")},
    "just ended": {"state": ended(1, "KeyError")},
}


@pytest.mark.parametrize("state", CRASHING.values(), ids=CRASHING)
def test_crash_loop_reads_the_same_in_all_its_phases(state):
    pod = a_pod(containerStatuses=[container(**state)])
    assert diagnosed(pod) == (
        "ContainerCrashed",
        "Pod pod-1, container user-container ended with exit code 1, and is started again. Its last words: KeyError",
    )


def test_the_runtime_s_last_words_are_quoted_as_a_sentence():
    told = {
        "reason": "ShardMissing",
        "message": "copy the model again",
        "line": "FileNotFoundError: x",
        "phase": "starting",
    }
    pod = a_pod(containerStatuses=[container(state=ended(1, json.dumps(told)))])
    assert diagnosed(pod)[1].endswith("ShardMissing: copy the model again. vLLM's line: FileNotFoundError: x")


@pytest.mark.parametrize(
    "words", ["KeyError", "", "{", "[1]", '"text"', '{"reason": 1}', '{"level": "error", "msg": "x"}']
)
def test_any_other_last_words_are_left_as_they_are(words):
    assert last_words(words) == words


WORDS = "(EngineCore pid={pid}) ERROR 01-01 {clock} [core.py:700] no room at 0x{pid}f0: {date}T{clock}Z"


def test_words_that_differ_in_time_and_numbers_of_processes_only_are_the_same():
    first = WORDS.format(pid=17, clock="10:00:01", date="2026-01-01")
    second = WORDS.format(pid=99, clock="11:59:59", date="2026-01-02")
    pods = [a_pod(containerStatuses=[container(state=ended(1, words))]) for words in (first, second)]
    assert diagnosed(pods[0]) == diagnosed(pods[1])
    assert "ERROR … [core.py:700] no room" in diagnosed(pods[0])[1]


def test_failing_pull_reads_the_same_while_the_kubelet_tries_and_waits():
    cause = 'failed to resolve reference "x:1": read udp 10.0.0.5:{}->10.96.0.10:53: i/o timeout'
    pods = (
        a_pod(containerStatuses=[container(**waiting("ErrImagePull", cause.format(40001)))]),
        a_pod(
            containerStatuses=[
                container(
                    **waiting("ImagePullBackOff", f'Back-off pulling image "x:1": ErrImagePull: {cause.format(51234)}')
                )
            ]
        ),
    )
    assert diagnosed(pods[0]) == diagnosed(pods[1])
    assert diagnosed(pods[0])[0] == "ImagePullFailed"


def test_command_that_does_not_exist_reads_the_same_while_the_kubelet_tries_and_waits():
    words = 'unable to start container process: exec: "vllm": executable file not found in $PATH'
    ended_so = {"lastState": ended(128, words, "StartError"), **waiting("CrashLoopBackOff")}
    pods = [a_pod(containerStatuses=[container(**state)]) for state in (waiting("RunContainerError", words), ended_so)]
    assert diagnosed(pods[0]) == diagnosed(pods[1])
    assert diagnosed(pods[0])[0] == "ContainerConfigInvalid"


FAILURES = st.sampled_from(
    [
        *CRASHING.values(),
        waiting("ImagePullBackOff", "no such image"),
        waiting("CreateContainerConfigError", 'secret "token" not found'),
        {**waiting("CrashLoopBackOff"), "lastState": ended(137, reason="OOMKilled")},
        waiting("ContainerCreating"),
        running(),
    ]
)


@settings(deadline=None)
@given(st.lists(FAILURES, min_size=1, max_size=4), st.randoms(use_true_random=False), st.integers(0, 500))
def test_diagnosis_depends_neither_on_the_order_of_pods_nor_on_restarts(states, chance, restarts):
    def pods(count):
        return [
            a_pod(name=f"pod-{i}", containerStatuses=[container(restarts=count + i, **state)])
            for i, state in enumerate(states)
        ]

    shuffled = pods(restarts)
    chance.shuffle(shuffled)
    assert diagnosed(*pods(0)) == diagnosed(*shuffled)


@settings(deadline=None)
@given(st.lists(st.sampled_from(list(CRASHING.values())), min_size=2, max_size=4), st.data())
def test_pods_that_crash_out_of_step_do_not_make_the_reason_flip(states, data):
    def pods(phases):
        return [a_pod(name=f"pod-{i}", containerStatuses=[container(**state)]) for i, state in enumerate(phases)]

    later = data.draw(st.permutations(states))
    assert diagnosed(*pods(states)) == diagnosed(*pods(later))


def test_old_pods_do_not_speak_for_a_mended_template():
    old = a_pod(name="old", containerStatuses=[container(**waiting("ImagePullBackOff", "no such image"))])
    old["metadata"]["labels"][LABEL_REVISION] = "before"
    assert diagnosed(old, a_pod(name="new"))[0] == "PredictorNotReady"


@pytest.mark.parametrize(
    ("pod", "reason", "words"),
    [
        (
            a_pod(initContainerStatuses=[container("fetch", state=ended(2, "404"))]),
            "ContainerCrashed",
            ["container fetch", "exit code 2", "404"],
        ),
        (a_pod(containerStatuses=[container(state=ended(0))]), "ContainerCrashed", ["exit code 0", "describe pod"]),
        (a_pod(containerStatuses=[container(state=ended(143))]), "ContainerCrashed", ["startup probe failed"]),
        (
            a_pod(
                conditions=[a_condition("Ready", "False", "2026-01-01T11:30:00Z")],
                containerStatuses=[container(**running())],
            ),
            "ReadinessProbeFailing",
            ["since 2026-01-01T11:30:00Z", "kubectl -n default logs pod-1"],
        ),
        (
            a_pod(conditions=[a_condition("Ready", "False"), a_condition("ContainersReady", "True")]),
            "NodeNotReady",
            ["does not answer", "another pod elsewhere"],
        ),
        (
            a_pod(
                conditions=[
                    a_condition(
                        "PodScheduled",
                        "False",
                        reason="Unschedulable",
                        message="0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. "
                        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
                    )
                ]
            ),
            "PVCPending",
            ["waits for a volume", "describe pvc"],
        ),
        (
            a_pod(conditions=[a_condition("PodScheduled", "False", message='persistentvolumeclaim "w" not found')]),
            "PVCNotFound",
            ["PersistentVolumeClaim w", "create it"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pods_own_words(pod, reason, words):
    found, message = diagnosed(pod)
    assert found == reason
    for word in ["pod-1", *words]:
        assert word in message
    assert "preemption" not in message


@pytest.mark.parametrize(
    "pod",
    [
        a_pod(initContainerStatuses=[container("fetch", ready=True, state=ended(0))]),
        a_pod(containerStatuses=[container(ready=True, **running(), lastState=ended(1))]),
        a_pod(containerStatuses=[container(ready=True, **running(), lastState=ended(137, reason="OOMKilled"))]),
        a_pod(conditions=[a_condition("Ready", "False")], containerStatuses=[container(**running())]),
    ],
    ids=["init container that is done", "crash of old", "memory of old", "model that loads"],
)
def test_what_is_no_failure(pod):
    assert diagnosed(pod)[0] == "PredictorNotReady"


def stuck(since):
    stamp = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    pod = a_pod(phase="Pending", conditions=[a_condition("PodReadyToStartContainers", "False", stamp)])
    return pod | {"spec": {"nodeName": "a", "containers": [], "volumes": []}}


def test_volume_that_does_not_come_is_told_after_a_while():
    children = live(planned(a_world()), ready=False)
    early = planned(a_world(children=children, pods=(stuck(NOW - timedelta(seconds=10)),)))
    assert (condition(early, "Ready")["reason"], early.again_seconds) == ("PredictorNotReady", 20)
    reason, message = diagnosed(stuck(NOW - timedelta(seconds=31)))
    assert reason == "ContainersNotStarted"
    assert "Secret or ConfigMap" in message
    assert "describe pod pod-1" in message


def test_claim_that_is_attached_to_another_node_is_named():
    mounted = [{"name": "w", "persistentVolumeClaim": {"claimName": "weights"}}]
    new = stuck(NOW - timedelta(minutes=1))
    new["spec"]["volumes"] = mounted
    other = a_pod("v2", "other") | {"spec": {"nodeName": "b", "containers": [], "volumes": mounted}}
    reason, message = diagnosed(new, other, service=a_service().on("weights"), claims=(a_claim("weights"),))
    assert reason == "ContainersNotStarted"
    assert "weights attaches to one node only (ReadWriteOnce), and pod other uses it on node b" in message


def test_pod_that_no_scheduler_looks_at_is_told_after_a_while():
    pod = a_pod(phase="Pending") | {"spec": {"schedulerName": "t9k-scheduler", "containers": []}}
    assert "t9k-scheduler, which does nothing" in diagnosed(pod)[1]
