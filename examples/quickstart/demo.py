"""`make demo`: from two YAML files to a chat completion, on a real cluster, every command shown.

python examples/quickstart/demo.py up      again at any time
python examples/quickstart/demo.py down    removes what it made
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import calls
import tutorial
from local_cluster import binaries, checkout, images
from local_cluster.report import Failure
from shell import WATCH, create, forwarded, kubectl, show, step, tool, watch_until_ready

CLUSTER = os.environ.get("CLUSTER") or "local"
IMAGES = ("operator", "vllm-cpu", "busybox")
SERVICE = "tiny-llama"


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
    kubectl("apply", "-f", "mlservice-runtime.yaml")
    create("mlservice.yaml")
    step("Until READY is True")
    watch_until_ready("mlservice.yaml")
    step("Requests")
    ask()
    step("The same from a pod, by the service's name")
    ask_from_pod()
    step("Triton's tutorial: the same runtime under the model's name llama2vllm")
    tutorial.go_through()
    say_what_next()


def down() -> None:
    """Remove what `up` made: all of a cluster that it made, from another one the example and the operator."""
    if CLUSTER == "current":
        names = (tutorial.FILE, "mlservice.yaml", "mlservice-runtime.yaml", "make-model-job.yaml", "pvc.yaml")
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
    configmap = ["create", "configmap", "make-model", "--from-file=make_model.py", "--dry-run=client", "-o", "yaml"]
    show("kubectl", *configmap, then="| kubectl apply -f -")
    kubectl("apply", "-f", "-", given=kubectl(*configmap, shown=False), shown=False)
    kubectl("apply", "-f", "make-model-job.yaml")
    kubectl("wait", "--for=condition=complete", "--timeout=180s", "job/make-model")


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
    with forwarded(SERVICE, ":80") as ports:
        yield f"http://{ports['8000']}"


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


if __name__ == "__main__":
    main()
