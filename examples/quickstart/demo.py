"""`make demo`: from two YAML files to a chat completion, on a real cluster, every command shown.

python examples/quickstart/demo.py up      again at any time
python examples/quickstart/demo.py down    removes what it made
"""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import calls
from local_cluster import binaries, checkout, images
from local_cluster.report import Failure, Stopwatch

HERE = Path(__file__).parent
CLUSTER = os.environ.get("CLUSTER") or "local"
IMAGES = ("operator", "vllm-cpu", "busybox")
SERVICE = "tiny-llama"
READY_SECONDS = 900
WATCH = Stopwatch()


def main() -> None:
    """Run `up` or `down`; a Failure is printed without a traceback and ends with status 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["up", "down"])
    verb = parser.parse_args().verb
    try:
        up() if verb == "up" else down()
    except Failure as failure:
        sys.stdout.flush()
        sys.exit(f"Error: {failure}")
    except KeyboardInterrupt:
        sys.exit("Interrupted. The same command can be run again.")


def up() -> None:
    """Bring everything up and ask the model."""
    if CLUSTER == "current":
        step("The cluster of the current context, the operator")
        tool("up")
        tool("install")
    else:
        step("A cluster, and the images beside it")
        with beside("local_cluster.images", "build", *IMAGES):
            tool("up")
        step("The operator, and the other images beside it")
        tool("load", IMAGES[0])
        with beside("local_cluster", "load", *IMAGES[1:]):
            tool("install")
    step("A tiny model on a PersistentVolumeClaim")
    put_model_on_claim()
    step("Two YAML files")
    deploy()
    step("Until READY is True")
    watch_until_ready()
    step("Requests")
    ask()
    step("The same from a pod, by the service's name")
    ask_from_pod()
    say_what_next()


def down() -> None:
    """Remove what `up` made: all of a cluster that it made, from another one the example and the operator."""
    if CLUSTER == "current":
        names = ("mlservice.yaml", "mlservice-runtime.yaml", "make-model-job.yaml", "pvc.yaml")
        kubectl("delete", "--ignore-not-found", *(part for name in names for part in ("-f", name)))
        kubectl("delete", "--ignore-not-found", "configmap/make-model")
        tool("uninstall")
    tool("down", *(["--purge"] if CLUSTER == "local" else []))
    shutil.rmtree(checkout.LOCAL / "install", ignore_errors=True)
    WATCH.say(f"Built programs and images stay in {checkout.cache()}: the next `make demo` is quick.")


@contextlib.contextmanager
def beside(module: str, *arguments: str) -> Iterator[None]:
    """Run a Python module beside what the caller does, and wait for it: on a fresh machine both take minutes."""
    with subprocess.Popen([sys.executable, "-m", module, *arguments]) as process:
        try:
            yield
        except BaseException:
            process.terminate()
            raise
        if process.poll() is None:
            WATCH.say(f"Waiting for `python -m {module} {' '.join(arguments)}` ...")
        if process.wait() != 0:
            raise Failure(
                f"`python -m {module} {' '.join(arguments)}` failed.",
                "The cause is above. The same command can be run again.",
            )


def put_model_on_claim() -> None:
    """Make the claim, and fill it by a Job. A model that is there already stays."""
    print(f"  A real Llama architecture with random weights (0.8 MB), made by a Job. {calls.NOISE}")
    tool("volume", "models")
    kubectl("apply", "-f", "pvc.yaml")
    create = ["create", "configmap", "make-model", "--from-file=make_model.py", "--dry-run=client", "-o", "yaml"]
    show("kubectl", *create, then="| kubectl apply -f -")
    kubectl("apply", "-f", "-", given=kubectl(*create, shown=False), shown=False)
    kubectl("apply", "-f", "make-model-job.yaml")
    kubectl("wait", "--for=condition=complete", "--timeout=180s", "job/make-model")


def deploy() -> None:
    """Apply the runtime and create the service; one from an earlier run is put back to what the file says."""
    kubectl("apply", "-f", "mlservice-runtime.yaml")
    there = kubectl("get", "-f", "mlservice.yaml", "--ignore-not-found", "-o", "name", shown=False)
    kubectl("replace" if there.strip() else "create", "-f", "mlservice.yaml")


def watch_until_ready() -> None:
    """Show `kubectl get -w` until its column READY says True."""
    command = ["get", "-f", "mlservice.yaml", "-o", "wide", "-w"]
    show("kubectl", *command)
    ready = False
    with subprocess.Popen(program(*command), cwd=HERE, env=environment(), stdout=subprocess.PIPE, text=True) as get:
        assert get.stdout is not None
        limit = threading.Timer(READY_SECONDS, get.terminate)
        limit.start()
        for line in get.stdout:
            WATCH.say(line.rstrip())
            ready = line.split()[1:2] == ["True"]
            if ready:
                break
        limit.cancel()
        get.terminate()
    if not ready:
        message = kubectl("get", "-f", "mlservice.yaml", "-o", "jsonpath=" + ready_message(), shown=False)
        raise Failure(
            f"{SERVICE} is not ready after {READY_SECONDS} s: {message}",
            f"Look at its pods: kubectl describe pods -l mlservice.tensorstack.dev/name={SERVICE}",
        )
    print(f"  {kubectl('get', '-f', 'mlservice.yaml', '-o', 'jsonpath=' + ready_message(), shown=False)}")


def ready_message() -> str:
    """The JSONPath of the condition that says in words how the service is."""
    return '{.status.conditions[?(@.type=="Ready")].message}'


def ask() -> None:
    """Chat completion, streamed chat completion and text completion through status.address.url."""
    path = "{.status.address.url}"
    print("  $ address=$(kubectl get -f mlservice.yaml -ojsonpath='{.status.address.url}')")
    address = kubectl("get", "-f", "mlservice.yaml", f"-ojsonpath={path}", shown=False)
    print(f"  address={address}")
    with reachable(address) as url:
        for call in calls.CALLS:
            calls.show_answer(WATCH, call, url)
    print(f"  {calls.NOISE}")


@contextlib.contextmanager
def reachable(address: str) -> Iterator[str]:
    """Yield a URL for this machine: the address itself, or where there is no Gateway a forwarded port."""
    if not address.endswith(".svc.cluster.local"):
        yield address
        return
    command = ["port-forward", f"svc/{SERVICE}", ":80"]
    show("kubectl", *command)
    with subprocess.Popen(program(*command), env=environment(), stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout is not None
        line = forward.stdout.readline()  # Forwarding from 127.0.0.1:41234 -> 8000
        try:
            if "->" not in line:
                raise Failure("kubectl could not forward a port.", "Its own message is above.")
            yield f"http://{line.split()[2]}"
        finally:
            forward.terminate()


def ask_from_pod() -> None:
    """The text completion by `wget` in a pod, at http://<name>.<namespace>."""
    call = calls.TEXT
    body = json.dumps(call.body)
    namespace = kubectl("get", "-f", "mlservice.yaml", "-o", "jsonpath={.metadata.namespace}", shown=False)
    image = "busybox:1.37" if CLUSTER == "current" else images.reference("busybox")
    kubectl("delete", "pod", "client", "--ignore-not-found", "--now", shown=False)
    wget = ["wget", "-q", "-O", "-", "--header", "Content-Type: application/json", "--post-data", body]
    kubectl("run", "client", f"--image={image}", "--restart=Never", "--command", "--", *wget,
            f"http://{SERVICE}.{namespace}{call.path}")  # fmt: skip
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s", "pod/client")
    answer = json.loads(kubectl("logs", "client"))
    WATCH.say(f'"{calls.readable(calls.text_of(answer))}"')
    kubectl("delete", "pod", "client", "--now", shown=False)


def say_what_next() -> None:
    """The commands that a curious user would type now."""
    folder = binaries.path("kubectl").parent
    WATCH.say("Done: a real vLLM answers behind a URL, from two YAML files. Try next:")
    print(f"""
  export KUBECONFIG={checkout.KUBECONFIG} PATH={folder}:$PATH
  kubectl get mlservices,deployments,services,httproutes,pods
  kubectl describe mlservice {SERVICE}
  kubectl patch mlservice {SERVICE} --type=json -p '[{{"op": "add", "path":
    "/spec/releases/0/predictor/model/parameters/MAX_MODEL_LEN", "value": "512"}}]'; kubectl get mls -w
  kubectl delete pods -l mlservice.tensorstack.dev/name={SERVICE}; kubectl get mls -w
  kubectl -n mlservice-system logs -l app.kubernetes.io/name=mlservice-operator -f
  examples/vllm/README.md: the same with a GPU and a model that has something to say
  make demo-down""")
    if CLUSTER == "local":
        print("\n  The nvidia.com/gpu of node-1 are make-believe: pods get scheduled onto them, nothing computes.")


def step(title: str) -> None:
    """Begin a part of the demo."""
    print(flush=True)
    WATCH.say(f"=== {title}")


def show(*command: str, then: str = "") -> None:
    """Print a command as a user would type it."""
    print(f"  $ {shlex.join(command)} {then}".rstrip(), flush=True)


def tool(*arguments: str) -> None:
    """Run a verb of the cluster tool, which prints its own progress."""
    show("python", "-m", "local_cluster", *arguments)
    done = subprocess.run([sys.executable, "-m", "local_cluster", *arguments], check=False)
    if done.returncode != 0:
        raise Failure(f"`python -m local_cluster {' '.join(arguments)}` failed.", "The cause is above.")


def kubectl(*arguments: str, given: str | None = None, shown: bool = True) -> str:
    """Run the kubectl that was built here, in the folder of the manifests; shows and returns what it prints."""
    if shown:
        show("kubectl", *arguments)
    done = subprocess.run(
        program(*arguments), check=False, capture_output=True, text=True, input=given, cwd=HERE, env=environment()
    )
    if done.returncode != 0:
        raise Failure(f"`kubectl {shlex.join(arguments)}` failed: {done.stderr.strip()}", look_further())
    if shown and done.stdout.strip() and not done.stdout.startswith("{"):
        print("  " + done.stdout.strip().replace("\n", "\n  "), flush=True)
    return done.stdout


def program(*arguments: str) -> list[str]:
    """kubectl with arguments."""
    return [str(binaries.path("kubectl")), *arguments]


def environment() -> dict[str, str]:
    """What kubectl needs to find the cluster."""
    return {**os.environ, "KUBECONFIG": str(checkout.KUBECONFIG)}


def look_further() -> str:
    """Where the cause of most failures can be seen."""
    return f"See: {binaries.path('kubectl')} --kubeconfig={checkout.KUBECONFIG} describe pods"


if __name__ == "__main__":
    main()
