"""The same requests to our runtime and to NVIDIA's Triton itself: the same statuses, error texts and shapes."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import yaml
from local_cluster import checkout
from serving import MODEL, Serving, wait_until
from triton_client import PROMPTS, request, responses, write_results
from triton_server import Triton, config_map, triton
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

EXAMPLE = checkout.ROOT / "examples" / "triton-vllm" / "nvidia"
SINGLE = "single"
"""A model of Triton's that answers `infer`, which it refuses for its vLLM models and we do not."""


def example(file: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLE / file).read_text())
    return loaded


def container() -> dict[str, Any]:
    (found,) = example("mlservice-runtime.yaml")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def repository_files() -> dict[str, str]:
    (volume,) = (
        v for v in example("mlservice-runtime.yaml")["spec"]["template"]["spec"]["volumes"] if "configMap" in v
    )
    data = example("model-repository.yaml")["data"]
    return {item["path"]: data[item["key"]] for item in volume["configMap"]["items"]}


def arguments(models: Path) -> list[str]:
    """The example's, with the folder of models at another place."""
    program, *found = (argument.replace("=/models", f"={models}") for argument in container()["args"])
    assert program == "tritonserver"
    return found


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """Triton with the example's model repository, its ConfigMap mounted as the example does, and the model SINGLE."""
    folder = tmp_path_factory.mktemp("triton")
    models = folder / "models"
    config_map(models / MODEL, repository_files())
    (models / SINGLE / "1").mkdir(parents=True)
    (models / SINGLE / "config.pbtxt").write_text(
        'backend: "vllm"\nparameters { key: "SINGLE" value { string_value: "true" } }\n'
    )
    with triton(folder, *arguments(models)) as started:
        yield started


def test_the_example_starts_tritons_three_services(real: Triton) -> None:
    for service in ("GRPCInferenceService", "HTTPService", "Metrics Service"):
        assert f"Started {service} at " in real.log


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_the_examples_probes_are_answered(real: Triton, server: Serving, probe: str) -> None:
    path = container()[probe]["httpGet"]["path"]
    assert [httpx2.get(f"{url}{path}").status_code for url in (real.url, server.url)] == [200, 200]


def test_the_tutorials_curl(real: Triton, server: Serving) -> None:
    body = '{"text_input": "What is Triton Inference Server?", "parameters": {"stream": false, "temperature": 0}}'
    theirs, ours = (httpx2.post(f"{url}/v2/models/{MODEL}/generate", content=body) for url in (real.url, server.url))
    assert (theirs.status_code, ours.status_code) == (200, 200)
    assert theirs.json().pop("text_output") == "What is Triton Inference Server? one two three"
    assert {**theirs.json(), "text_output": ""} == {**ours.json(), "text_output": ""}


@pytest.mark.parametrize("generation", ["23.11", "today"])
def test_the_tutorials_client(real: Triton, generation: str, tmp_path: Path) -> None:
    write_results(real.grpc, MODEL, generation, tmp_path / "results.txt")
    assert (tmp_path / "results.txt").read_text() == "".join(f"{p} one two three\n\n=========\n\n" for p in PROMPTS)


def test_a_config_map_mounted_as_the_whole_repository_ends_triton(tmp_path: Path) -> None:
    config_map(tmp_path / "models", {f"{MODEL}/{name}": content for name, content in repository_files().items()})
    with triton(tmp_path, *arguments(tmp_path / "models"), wait=False) as started:
        wait_until(lambda: started.process.poll() is not None)
        assert started.process.returncode != 0
        assert "failed to load all models" in started.log


def test_triton_ends_when_it_is_told_to(tmp_path: Path) -> None:
    config_map(tmp_path / "models" / MODEL, repository_files())
    with triton(tmp_path, *arguments(tmp_path / "models")) as started:
        assert started.stop() == 0


def told(url: str, method: str, path: str, body: str) -> tuple[int, str]:
    """Status and error; what a JSON parser says of the place is its own."""
    answer = httpx2.request(method, f"{url}/v2/{path}", content=body, timeout=60)
    text = answer.text.removeprefix("data: ").strip()
    error = json.loads(text)["error"] if text and answer.status_code != 200 else ""
    return answer.status_code, re.sub(r"(failed to parse the request JSON buffer: ).*", r"\1", error)


GENERATE = [
    "{",
    "",
    "[]",
    "null",
    '"a"',
    "{}",
    '{"text_input": "a"} more',
    '{"id": "7"}',
    '{"id": 7, "text_input": "a"}',
    '{"text_input": 1}',
    '{"text_input": null}',
    '{"text_input": {"a": 1}}',
    '{"text_input": []}',
    '{"text_input": ["a", "b"]}',
    '{"text_input": [1]}',
    '{"text_input": [["a"], ["b"]]}',
    '{"text_input": "a", "text_input": "b"}',
    '{"text_input": "a", "stream": "yes"}',
    '{"text_input": "a", "stream": 1}',
    '{"text_input": "a", "stream": null}',
    '{"text_input": "a", "stream": [true, false]}',
    '{"text_input": "a", "sampling_parameters": {"n": 1}}',
    '{"text_input": "a", "parameters": 3}',
    '{"text_input": "a", "parameters": [1]}',
    '{"text_input": "a", "parameters": null}',
    '{"text_input": "a", "parameters": {"n": [1]}}',
    '{"text_input": "a", "parameters": {"n": null}}',
    '{"text_input": "a", "n": {"a": 1}}',
    '{"text_input": "a", "n": [1]}',
    '{"text_input": "a", "n": null}',
]


@pytest.mark.parametrize("action", ["generate", "generate_stream"])
@pytest.mark.parametrize("body", GENERATE)
def test_generate_refuses_the_same(real: Triton, server: Serving, action: str, body: str) -> None:
    path = f"models/{MODEL}/{action}"
    assert told(server.url, "POST", path, body) == told(real.url, "POST", path, body)


def infer(*inputs: str, more: str = "") -> str:
    return f'{{"inputs": [{",".join(inputs)}]{more}}}'


TEXT = '{"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["a"]}'
STREAM = '{"name": "stream", "shape": [1], "datatype": "BOOL", "data": [false]}'
INFER = [
    "{",
    "",
    "[]",
    "{}",
    '{"inputs": 3}',
    infer(),
    "null",
    infer("3"),
    infer(TEXT, *[TEXT.replace("text_input", f"x{i}") for i in range(3)], *[STREAM] * 2),
    infer(TEXT.replace('["a"]', '"a"')),
    infer(TEXT.replace('["a"]', "[]")),
    infer(TEXT.replace("[1]", "[]")),
    infer(TEXT.replace("[1]", "1")),
    infer(TEXT.replace("[1]", "[1.5]")),
    infer(TEXT.replace('"text_input"', "3")),
    infer(TEXT.replace('"BYTES"', "3")),
    infer(TEXT.replace('"data": ["a"]', '"parameters": {"binary_data_size": 4}')),
    infer(TEXT.replace('"data": ["a"]', '"parameters": {"binary_data_size": "x"}')),
    infer(TEXT.replace('"data"', '"parameters": {"binary_data_size": 4}, "data"')),
    infer(TEXT.replace('"data": ["a"]', '"parameters": {"shared_memory_region": "x"}')),
    infer(TEXT, STREAM.replace("[false]", "[false, true]")),
    infer(TEXT, STREAM.replace("BOOL", "INT32").replace("false", "1")),
    infer(TEXT, STREAM.replace("BOOL", "INT32").replace("false", '"x"')),
    infer(TEXT, STREAM.replace("BOOL", "UINT8").replace("false", "-1")),
    infer(TEXT, STREAM.replace("BOOL", "FP32").replace("false", '"x"')),
    infer(TEXT, more=', "outputs": [3]'),
    infer(TEXT, more=', "outputs": [{"name": "text_output", "parameters": {"binary_data": 3}}]'),
    infer(TEXT, more=', "parameters": {"binary_data_output": 3}'),
    infer(TEXT, more=', "parameters": {"n": null}'),
    infer(TEXT, more=', "parameters": {"sequence_id": 1}'),
    infer(TEXT, TEXT),
    infer(TEXT.replace("[1]", "[2]")),
    infer(TEXT.replace("[1]", "[1,1]")),
    infer(TEXT.replace("[1]", "[-1]")),
    infer(TEXT.replace("[1]", '["a"]')),
    infer(TEXT.replace('["a"]', "[1]")),
    infer(TEXT.replace('["a"]', '["a", "b"]')),
    infer(TEXT.replace('"BYTES"', '"INT32"').replace('["a"]', "[1]")),
    infer(TEXT.replace("BYTES", "NOPE")),
    infer(TEXT.replace('"datatype": "BYTES", ', "")),
    infer(TEXT.replace('"shape": [1], ', "")),
    infer(TEXT.replace('"name": "text_input", ', "")),
    infer(TEXT.replace(', "data": ["a"]', "")),
    infer(TEXT.replace("text_input", "nope")),
    infer(TEXT, TEXT.replace("text_input", "nope")),
    infer(TEXT, STREAM.replace("[false]", "[1]")),
    infer(TEXT, STREAM.replace("[false]", '["a"]')),
    infer(TEXT, more=', "outputs": [{"name": "nope"}]'),
    infer(TEXT, more=', "outputs": 3'),
    infer(TEXT, more=', "outputs": [{}]'),
    infer(TEXT, more=', "id": 3'),
    infer(TEXT, more=', "parameters": 3'),
    infer(TEXT, more=', "parameters": {"n": [1]}'),
    infer(TEXT, more=', "id": "7", "outputs": [{"name": "text_output"}]'),
]


@pytest.mark.parametrize("body", INFER)
def test_infer_refuses_the_same(real: Triton, server: Serving, body: str) -> None:
    status, error = told(real.url, "POST", f"models/{SINGLE}/infer", body)
    assert told(server.url, "POST", f"models/{MODEL}/infer", body) == (status, error.replace(SINGLE, MODEL))


@pytest.mark.parametrize("action", ["infer", "generate"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inference-header-content-length", "100"),
        ("inference-header-content-length", "-1"),
        ("inference-header-content-length", "x"),
        ("inference-header-content-length", "0"),
        ("content-encoding", "br"),
    ],
)
def test_headers_are_refused_the_same(real: Triton, server: Serving, action: str, name: str, value: str) -> None:
    found = []
    for url, model in ((server.url, MODEL), (real.url, SINGLE if action == "infer" else MODEL)):
        answer = httpx2.post(f"{url}/v2/models/{model}/{action}", content=b"{}", headers={name: value})
        found.append((answer.status_code, answer.json()["error"].replace(SINGLE, MODEL)))
    ours, theirs = found
    assert ours == theirs


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "nowhere"),
        ("POST", "health/live"),
        ("POST", "health/ready"),
        ("POST", "models/stats"),
        ("GET", "repository/index"),
        ("GET", "models/nobody"),
        ("GET", "models/nobody/config"),
        ("GET", "models/nobody/stats"),
        ("GET", "models/nobody/ready"),
        ("POST", "models/nobody/generate"),
        ("POST", "models/nobody/generate_stream"),
        ("POST", "models/nobody/infer"),
        ("GET", f"models/{MODEL}/generate"),
        ("GET", f"models/{MODEL}/generate_stream"),
        ("GET", f"models/{MODEL}/infer"),
        ("POST", f"models/{MODEL}"),
        ("POST", f"models/{MODEL}/config"),
        ("POST", f"models/{MODEL}/stats"),
        ("POST", f"models/{MODEL}/ready"),
        ("GET", f"models/{MODEL}/ready"),
        ("GET", f"models/{MODEL}/versions/1/ready"),
        ("GET", f"models/{MODEL}/versions/2/ready"),
        ("GET", f"models/{MODEL}/versions/2"),
        ("GET", f"models/{MODEL}/versions/2/config"),
        ("GET", f"models/{MODEL}/versions/2/stats"),
        ("POST", f"models/{MODEL}/versions/2/generate"),
        ("POST", f"models/{MODEL}/versions/2/infer"),
    ],
)
def test_routes_refuse_the_same(real: Triton, server: Serving, method: str, path: str) -> None:
    assert told(server.url, method, path, "{}") == told(real.url, method, path, "{}")


def shape(document: Any) -> Any:
    """A JSON document with the kinds of its values in their place."""
    if isinstance(document, dict):
        return {key: shape(value) for key, value in document.items()}
    if isinstance(document, list):
        return [shape(value) for value in document]
    return "number" if isinstance(document, int | float) and not isinstance(document, bool) else type(document).__name__


@pytest.mark.parametrize("path", [f"models/{MODEL}", f"models/{MODEL}/versions/1", f"models/{MODEL}/config"])
def test_a_model_is_described_in_the_same_words(real: Triton, server: Serving, path: str) -> None:
    ours, theirs = (httpx2.get(f"{url}/v2/{path}").json() for url in (server.url, real.url))
    assert ours == theirs


def test_statistics_have_the_same_shape(real: Triton, server: Serving) -> None:
    body = {"text_input": "a"}
    found = []
    for url in (server.url, real.url):
        httpx2.post(f"{url}/v2/models/{MODEL}/generate", json=body, timeout=60)
        found.append(shape(httpx2.get(f"{url}/v2/models/{MODEL}/stats").json()))
    ours, theirs = found
    assert ours == theirs


def test_our_extensions_are_some_of_tritons(real: Triton, server: Serving) -> None:
    ours, theirs = (httpx2.get(f"{url}/v2").json() for url in (server.url, real.url))
    assert (ours.keys(), ours["name"]) == (theirs.keys(), theirs["name"])
    assert set(ours["extensions"]) < set(theirs["extensions"])


@pytest.mark.parametrize("streams", [False, True])
def test_generated_events_have_the_same_shape(real: Triton, server: Serving, streams: bool) -> None:
    body = {"id": "7", "text_input": "a", "stream": streams, "max_tokens": 3, "ignore_eos": True}
    found = []
    for url in (server.url, real.url):
        answer = httpx2.post(f"{url}/v2/models/{MODEL}/generate_stream", json=body, timeout=60)
        events = answer.text.split("\n\n")
        assert events.pop() == ""
        assert len(events) == (3 if streams else 1)
        kinds = {json.dumps(shape(json.loads(event.removeprefix("data: ")))) for event in events}
        found.append((answer.status_code, answer.headers["content-type"], kinds))
    ours, theirs = found
    assert ours == theirs


def rpc(call: Any) -> tuple[str, str]:
    """Status and message of a refused call; the names of the models are one."""
    with pytest.raises(InferenceServerException) as caught:
        call()
    return str(caught.value.status()), str(caught.value.message()).replace(SINGLE, MODEL)


def grpc_input(name: str = "text_input", shape: tuple[int, ...] = (1,), datatype: str = "BYTES") -> InferInput:
    made = InferInput(name, list(shape), datatype)
    kinds = {"BYTES": np.object_, "BOOL": np.bool_, "INT32": np.int32}
    made.set_data_from_numpy(np.full(shape, b"a" if datatype == "BYTES" else 0, dtype=kinds[datatype]))
    return made


UNARY: dict[str, list[InferInput]] = {
    "nothing": [],
    "unknown input": [grpc_input(), grpc_input("nope")],
    "twice": [grpc_input(), grpc_input()],
    "two elements": [grpc_input(shape=(2,))],
    "two dimensions": [grpc_input(shape=(1, 1))],
    "another type": [grpc_input(datatype="INT32")],
}


@pytest.mark.parametrize("case", UNARY)
def test_model_infer_refuses_the_same(real: Triton, server: Serving, case: str) -> None:
    with InferenceServerClient(server.grpc) as ours, InferenceServerClient(real.grpc) as theirs:
        assert rpc(lambda: ours.infer(MODEL, UNARY[case])) == rpc(lambda: theirs.infer(SINGLE, UNARY[case]))


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("get_model_metadata", ["nobody"]),
        ("get_model_config", ["nobody"]),
        ("get_model_metadata", [MODEL, "2"]),
        ("get_inference_statistics", ["nobody"]),
        ("get_inference_statistics", [MODEL, "2"]),
        ("infer", ["nobody", [grpc_input()]]),
    ],
)
def test_other_methods_refuse_the_same(real: Triton, server: Serving, method: str, arguments: list[Any]) -> None:
    with InferenceServerClient(server.grpc) as ours, InferenceServerClient(real.grpc) as theirs:
        assert rpc(lambda: getattr(ours, method)(*arguments)) == rpc(lambda: getattr(theirs, method)(*arguments))


@pytest.mark.parametrize("method", ["load_model", "unload_model"])
def test_no_model_is_loaded_or_unloaded(real: Triton, server: Serving, method: str) -> None:
    with InferenceServerClient(server.grpc) as ours, InferenceServerClient(real.grpc) as theirs:
        (status, ours_because), (theirs_status, _) = (
            rpc(lambda c=c: getattr(c, method)(MODEL)) for c in (ours, theirs)
        )
    assert status == theirs_status
    assert ours_because.startswith(f"load / unload of '{MODEL}' is not allowed")


def inference_metrics(port: int) -> set[tuple[str, str]]:
    """Names and labels, but for the model."""
    text = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
    found = re.findall(r"^(nv_inference_\w+)\{(.*)\} ", text, re.MULTILINE)
    return {(name, re.sub(r'model="\w+",?', "", labels)) for name, labels in found}


def test_the_metrics_of_inferences_are_tritons(real: Triton, server: Serving) -> None:
    assert inference_metrics(server.metrics_port) == inference_metrics(real.metrics_port)


def stream_of(address: str, *asked: dict[str, Any]) -> list[tuple[str, str, str, tuple[bool, ...]]]:
    """What comes back on one stream: of each response the error, the id, the model's name and the final flag."""
    found = []
    for result, error in asyncio.run(responses(address, list(asked))):
        response = result.get_response() if result else None
        finals = () if response is None else tuple(p.bool_param for p in response.parameters.values())
        found.append(
            (str(error or ""), response.id if response else "", response.model_name if response else "", finals)
        )
    return found


def asked(stream: bool = False, model: str = MODEL, **more: Any) -> dict[str, Any]:
    return {**request(model, "a", "7", stream, max_tokens=3, ignore_eos="true"), **more}


STREAMS = {
    "one response": asked(),
    "three responses": asked(stream=True),
    "one and the empty final one": asked(enable_empty_final_response=True),
    "three and the empty final one": asked(stream=True, enable_empty_final_response=True),
    "unknown model": asked(model="nobody"),
    "unknown version": asked(model_version="2"),
    "no input": asked(inputs=[]),
    "unknown input": asked(inputs=[grpc_input(), grpc_input("nope")]),
    "two elements": asked(inputs=[grpc_input(shape=(2,))]),
}


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_has_the_same_responses(real: Triton, server: Serving, case: str) -> None:
    assert stream_of(server.grpc, STREAMS[case]) == stream_of(real.grpc, STREAMS[case])
