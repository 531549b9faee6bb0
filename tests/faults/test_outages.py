"""What befalls more than a request: the API server dies, lists are old, credentials, the CRDs or the Lease are lost."""

import os
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
from builders import a_runtime, a_service
from faults.injected import FAULTS
from faults.proxy import Action, Exchange
from faults.scenarios import CREATED, PAUSED, RENAMED, SCENARIOS, started
from faults.settle import concerns, converges, settle
from kube import eventually
from rig import Operator, install_crds

LEASE = "default", "mlservice-operator"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FAULT_SECONDS = 3.0


def long(*values):
    return pytest.param(*values, marks=pytest.mark.long)


def by_name(*names, more=()):
    """Scenarios of these names; those of `more` in the whole run only."""
    known = {scenario.name: scenario for scenario in SCENARIOS}
    chosen = [known[name] for name in names] + [long(known[name]) for name in more]
    return pytest.mark.parametrize("scenario", chosen, ids=lambda s: s.name)


@pytest.fixture
def same_process(operator):
    """The operator lives on through the test."""
    yield
    assert operator.process.poll() is None, f"the operator ended:\n{operator.text()[-3000:]}"


@pytest.mark.parametrize("program", ["kube-apiserver", long("etcd")])
@by_name("release_renamed", more=["created", "paused"])
def test_killed_server_comes_back(level, kube, proxy, operator, ends, same_process, scenario, program):
    wanted = ends(scenario)
    project = started(kube, proxy, scenario)
    before = level.pid(program)
    scenario.change(project)
    os.kill(before, signal.SIGKILL)
    eventually("it was started again", lambda: level.pid(program) != before and kube.api.is_ready(), 60)
    converges(project, proxy, wanted)


OLD = {
    "everything": (),
    "services": ("mlservices", "mlserviceruntimes"),
    "children": ("deployments", "services", "controllerrevisions"),
}


@pytest.mark.parametrize("kinds", [OLD["everything"], *map(long, list(OLD.values())[1:])], ids=OLD)
@by_name("resumed", "spec_changed", more=["release_renamed", "default_switched"])
def test_old_lists_after_a_restart_stop_nothing_that_serves(kube, proxy, operator, ends, scenario, kinds):
    """Another operator of the past read from an API server that lags: what it reads is old, and so are its watches."""
    wanted = ends(scenario)
    project = started(kube, proxy, scenario)
    old = {path: kube.api.request("GET", path)[1].encode() for path in proxy.lists if is_of(path, kinds)}
    assert old
    scenario.change(project)
    converges(project, proxy, wanted)
    before = {d["metadata"]["uid"]: d["metadata"]["generation"] for d in kube.list("Deployment", project.name)}

    def lags(exchange: Exchange) -> Action | None:
        if exchange.raw_path in old:
            return Action(body=old[exchange.raw_path])
        return Action(lag_seconds=2) if exchange.is_watch and is_of(exchange.path, kinds) else None

    operator.kill()
    with proxy.failing(lags):
        operator.start()
        operator.led()
        time.sleep(2 * FAULT_SECONDS)
    converges(project, proxy, wanted)
    after = {d["metadata"]["uid"]: d["metadata"]["generation"] for d in kube.list("Deployment", project.name)}
    assert after == before, "a Deployment was made anew, scaled or rolled out on old news"


def is_of(path: str, kinds: tuple[str, ...]) -> bool:
    return not kinds or path.partition("?")[0].rsplit("/", 1)[-1] in kinds


@by_name("created", more=["release_renamed"])
def test_token_that_is_replaced_is_read_again(kube, proxy, operator, ends, same_process, scenario):
    wanted = ends(scenario)
    project = started(kube, proxy, scenario)
    proxy.token = f"after {proxy.token}"
    with proxy.failing():  # the watches that run were let in with the old one
        scenario.change(project)
        time.sleep(1)
        proxy.token_file.write_text(proxy.token)
    converges(project, proxy, wanted)


def test_runtime_that_goes_while_its_watch_is_broken_is_missed(kube, proxy, operator, same_process):
    """kopf tells of no object that was deleted meanwhile."""
    project = started(kube, proxy, RENAMED)
    with proxy.failing(FAULTS["watches failed"]()):
        project.delete("MLServiceRuntime", "vllm-openai")
        time.sleep(FAULT_SECONDS)
    project.create(a_service("late"))
    project.reason("RuntimeNotFound", "late", seconds=90)


def test_service_that_is_made_again_while_the_old_one_is_looked_for(kube, proxy, operator, same_process):
    """The operator hears of the new one, and then that the old one is gone."""
    project = started(kube, proxy, RENAMED)
    looking: list[Exchange] = []

    def late(exchange: Exchange) -> Action | None:
        if looking or exchange.method != "GET" or not exchange.path.endswith(f"/{project.name}/mlservices/llama"):
            return None
        looking.append(exchange)
        return Action(status=404, delay_seconds=FAULT_SECONDS)

    proxy.faults = [late]  # and the watches go on: they must tell of the new one meanwhile
    RENAMED.change(project)
    eventually("it looks for the service", lambda: looking)
    project.delete("MLService", "llama")
    project.create(a_service())
    time.sleep(FAULT_SECONDS + 1)
    proxy.faults = []
    settle(project, proxy)
    project.reason("Ready")


def test_crds_that_are_removed_and_added_again(kube, proxy, operator, ends, same_process):
    wanted = ends(CREATED)
    project = started(kube, proxy, RENAMED)
    names = [crd["metadata"]["name"] for crd in kube.api.get(CRDS)["items"]]
    for name in names:
        kube.api.request("DELETE", f"{CRDS}/{name}")
    eventually("they are gone", lambda: not any(kube.api.get(f"{CRDS}/{name}") for name in names))
    time.sleep(FAULT_SECONDS)
    install_crds(kube)
    project.create(a_runtime())
    CREATED.change(project)
    converges(project, proxy, wanted, seconds=120)


def test_lease_that_is_deleted_is_made_again(kube, proxy, operator, ends, same_process):
    wanted = ends(RENAMED)
    project = started(kube, proxy, RENAMED)
    kube.delete("Lease", *LEASE)
    RENAMED.change(project)
    converges(project, proxy, wanted)
    assert eventually("the Lease is there", lambda: kube.get("Lease", *LEASE))


@pytest.mark.parametrize("hours", [1, long(-1)])
def test_clock_of_the_lease_does_not_count(kube, proxy, operator, ends, same_process, hours):
    """Times in it that are an hour off, as a host whose clock jumps writes them, cost nobody the Lease."""
    wanted = ends(PAUSED)
    project = started(kube, proxy, PAUSED)
    before = kube.get("Lease", *LEASE)["spec"]
    kube.patch("Lease", *LEASE, {"spec": {"renewTime": at(hours), "acquireTime": at(hours)}})
    PAUSED.change(project)
    converges(project, proxy, wanted)
    after = kube.get("Lease", *LEASE)["spec"]
    assert (after["holderIdentity"], after["leaseTransitions"]) == (
        before["holderIdentity"],
        before.get("leaseTransitions", 0),
    )


@pytest.mark.parametrize("hours", [1, long(-1)])
def test_nothing_is_written_while_another_holds_the_lease(kube, proxy, operator, ends, same_process, hours):
    """Until it has been silent for its 15 s on our own clock, whatever the times in it say."""
    wanted = ends(RENAMED)
    project = started(kube, proxy, RENAMED)
    spec = {"holderIdentity": "another", "renewTime": at(hours), "acquireTime": at(hours)}
    kube.patch("Lease", *LEASE, {"spec": spec})
    eventually("it knows", lambda: "mlservice_leader 0.0" in operator.get("/metrics"))
    before = len(proxy.writes)
    RENAMED.change(project)
    time.sleep(10)
    assert kube.get("Lease", *LEASE)["spec"]["holderIdentity"] == "another"
    assert not [w for w in proxy.writes[before:] if concerns(w, project)], "it wrote without the Lease"
    converges(project, proxy, wanted)
    assert kube.get("Lease", *LEASE)["spec"]["holderIdentity"] != "another"


@pytest.mark.parametrize("hours", [24, long(-24)])
@by_name("release_renamed", more=["created", "paused"])
def test_wall_clock_that_jumps_and_comes_back(kube, proxy, clock, operator, ends, same_process, scenario, hours):
    """The time is set wrong in the middle of a change. Yesterday the API server's certificate was not valid yet."""
    wanted = ends(scenario)
    project = started(kube, proxy, scenario)
    logged = len(operator.text())

    def wrong_day():
        renewed = datetime.fromisoformat(kube.get("Lease", *LEASE)["spec"]["renewTime"])
        far = abs(renewed - datetime.now(UTC)) > timedelta(hours=20)
        return far if hours > 0 else "not yet valid" in operator.text()[logged:]

    with clock.wrong(hours), proxy.failing():  # connections are made anew
        eventually("the operator has another day", wrong_day)
        scenario.change(project)
        time.sleep(FAULT_SECONDS)
    converges(project, proxy, wanted)


def at(hours: int) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.fixture
def another_operator(kube, proxy, tmp_path):
    """A second one that writes too: it has a Lease of its own, as after a mistake in a setting."""
    second = Operator(kube, tmp_path / "log", proxy.kubeconfig, MLSERVICE_LEASE_NAMESPACE="kube-system")
    second.led()
    yield second
    second.stop()


@by_name("release_renamed", more=["created", "updated_on_request", "scaled", "resumed"])
def test_two_that_write_at_once_agree(kube, proxy, operator, ends, same_process, another_operator, scenario):
    wanted = ends(scenario)
    project = started(kube, proxy, scenario)
    scenario.change(project)
    converges(project, proxy, wanted)
    before = len(proxy.writes)
    time.sleep(FAULT_SECONDS)
    assert len(proxy.writes) == before, "they write on, against each other"


@pytest.mark.long
def test_standby_takes_over_from_one_that_is_killed(kube, proxy, operator, ends, tmp_path):
    wanted = ends(RENAMED)
    project = started(kube, proxy, RENAMED)
    standby = Operator(kube, tmp_path / "log", proxy.kubeconfig)
    eventually("it is ready", lambda: "campaigning" in standby.text())
    operator.process.kill()
    operator.process.wait(timeout=20)
    RENAMED.change(project)
    converges(project, proxy, wanted)
    standby.stop()
    operator.start()
    operator.led()


@pytest.mark.long
@pytest.mark.parametrize("what", ["watches", "requests"])
@by_name("created", "release_renamed")
def test_half_open_connections_are_given_up(kube, proxy, operator, ends, same_process, scenario, what):
    """They stay open and nothing comes any more; nobody tells the operator that they are dead."""
    wanted = ends(scenario)
    project = started(kube, proxy, scenario)
    with proxy.failing(lambda e: Action(silent=True) if e.is_watch == (what == "watches") else None, heals=False):
        scenario.change(project)
        time.sleep(FAULT_SECONDS)
    converges(project, proxy, wanted, seconds=300)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_at_rest_nothing_is_written_for_fifteen_minutes(kube, proxy, operator, same_process):
    project = started(kube, proxy, RENAMED)
    settle(project, proxy)
    before = len(proxy.writes)
    time.sleep(900)
    assert [(w.method, w.path) for w in proxy.writes[before:]] == []
