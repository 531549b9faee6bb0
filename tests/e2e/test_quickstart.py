"""The quick start with a real vLLM: T9k's commands to the letter, then its users' clients."""

import json
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator

import pytest
from kube import Kube
from live import CLUSTER, QUICKSTART, Live
from local_cluster import images
from openai import OpenAI
from streams import Streams

README = """
address=$(kubectl get -f mlservice.yaml -ojsonpath='{.status.address.url}')

# 聊天
curl ${address}/v1/chat/completions \
  -H "Content-Type: application/json" \
  -d '{
    "model": "tiny-llama",
    "messages": [{"role": "user", "content": "hello"}],
    "temperature": 0.5
  }'
echo
# 生成文本
curl ${address}/v1/completions \
  -H "Content-Type: application/json" \
  -d '{
    "model": "tiny-llama",
    "prompt": "Long long ago, there was",
    "max_tokens": 100,
    "temperature": 0.5
  }'
"""
"""As in T9k's README, with the name of this model."""


@pytest.fixture(scope="module")
def live(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A namespace where the quick start serves, by the commands of its README."""
    namespace = Live(kube, tmp_path_factory.mktemp("live"))
    namespace.tiny_model()
    namespace.sh("kubectl apply -f mlservice-runtime.yaml; kubectl create -f mlservice.yaml")
    # kubectl prints what it gets first and what it sees later, and not what changes between the two.
    namespace.sh("kubectl wait --for=jsonpath='{.status.address.url}' -f mlservice.yaml --timeout=30s")
    yield namespace
    kube.api.request("DELETE", f"/api/v1/namespaces/{namespace.name}")


@pytest.fixture(scope="module")
def watched(live: Live) -> str:
    """What `kubectl get -w` prints until the column READY is True."""
    shown = ""
    command = ["kubectl", "get", "-f", "mlservice.yaml", "-o", "wide", "-w"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=QUICKSTART, env=live.environment) as get:
        assert get.stdout is not None
        limit = threading.Timer(540, get.terminate)
        limit.start()
        for line in get.stdout:
            shown += line
            if line.split()[1] == "True":
                break
        limit.cancel()
        get.terminate()
    return shown


@pytest.fixture
def client(live: Live, watched: str) -> Iterator[OpenAI]:
    """The OpenAI library, by address: Python resolves *.localhost on some systems only."""
    url = urllib.parse.urlsplit(live.url("tiny-llama"))
    base = f"http://127.0.0.1:{url.port or 80}/v1"
    with OpenAI(base_url=base, api_key="unused", default_headers={"Host": url.netloc}, max_retries=5) as openai:
        yield openai


def test_columns_show_the_url_before_it_is_ready(watched: str):
    header, *lines = watched.splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "URL", "DEFAULT", "CANARY", "RELEASES", "AGE"]
    starting = next(line.split() for line in lines if " False " in line)
    assert starting[:3] == ["tiny-llama", "False", "PredictorNotReady"]
    assert starting[3].startswith("http://tiny-llama.")
    assert lines[-1].split()[1:3] == ["True", "Ready"]


def test_t9k_curl_commands(live: Live, watched: str):
    chat, text = (json.loads(line) for line in live.sh(README).splitlines())
    assert (chat["object"], chat["choices"][0]["message"]["role"]) == ("chat.completion", "assistant")
    assert (text["object"], text["usage"]["completion_tokens"] > 0) == ("text_completion", True)


def test_openai_library_chats(client: OpenAI):
    messages = [{"role": "user", "content": "hello"}]
    answer = client.chat.completions.create(model="tiny-llama", messages=messages, max_tokens=16)
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 16
    assert answer.choices[0].finish_reason in ("length", "stop")


def test_openai_library_streams_as_the_words_come(client: OpenAI):
    messages = [{"role": "user", "content": "hello"}]
    with client.chat.completions.create(model="tiny-llama", messages=messages, max_tokens=64, stream=True) as stream:
        pieces = list(stream)
    assert len(pieces) > 3
    assert pieces[-1].choices[0].finish_reason in ("length", "stop")


def test_openai_library_completes_text_and_lists_the_model(client: OpenAI):
    answer = client.completions.create(model="tiny-llama", prompt="Long long ago, there was", max_tokens=8)
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert [model.id for model in client.models.list()] == ["tiny-llama"]


def test_pod_reaches_it_by_name_and_namespace(live: Live, watched: str):
    image = "busybox:1.37" if CLUSTER == "current" else images.reference("busybox")
    live.sh(f"""
        kubectl run client --image={image} --restart=Never --command -- \
            wget -q -O - --header 'Content-Type: application/json' \
            --post-data '{{"model": "tiny-llama", "prompt": "hello", "max_tokens": 8}}' \
            http://tiny-llama.{live.name}/v1/completions
        kubectl wait --for=jsonpath='{{.status.phase}}'=Succeeded --timeout=60s pod/client""")
    assert json.loads(live.sh("kubectl logs client"))["model"] == "tiny-llama"


def test_no_stream_is_cut_while_its_pod_is_replaced(live: Live, watched: str):
    (pod,) = live.pods("tiny-llama")
    releases = live.service("tiny-llama")["spec"]["releases"]
    releases[0]["predictor"]["model"]["parameters"]["MAX_MODEL_LEN"] = "1000"
    with Streams(live.url("tiny-llama"), "tiny-llama", 10) as streams:
        live.patch("MLService", "tiny-llama", {"spec": {"releases": releases}})
        live.sh(f"kubectl wait --for=delete pod/{pod['metadata']['name']} --timeout=540s", 560)
    assert (streams.cut, streams.refused) == ({}, {})
    assert streams.whole > 10
