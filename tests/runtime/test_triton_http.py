"""Triton's HTTP protocol, spoken to a running vLLM."""

import json
from typing import Any

import httpx2
import numpy as np
import pytest
import tritonclient.http
from serving import MODEL, Serving

PROMPT = "What is Triton Inference Server?"
GREEDY = {"text_input": PROMPT, "parameters": {"stream": False, "temperature": 0}}


def post(server: Serving, action: str, content: Any) -> httpx2.Response:
    """As curl -d sends it: JSON that calls itself a form."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    form = {"content-type": "application/x-www-form-urlencoded"}
    return httpx2.post(f"{server.url}/v2/models/{MODEL}/{action}", content=body, headers=form, timeout=60)


def test_the_tutorials_request(server: Serving) -> None:
    answer = post(server, "generate", GREEDY)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    completion = {"model": MODEL, "prompt": PROMPT, "temperature": 0}
    (choice,) = httpx2.post(f"{server.url}/v1/completions", json=completion, timeout=60).json()["choices"]
    assert answer.json() == {"model_name": MODEL, "model_version": "1", "text_output": PROMPT + choice["text"]}


def test_the_lines_of_the_tutorials_log(server: Serving) -> None:
    for name, port in (
        ("GRPCInferenceService", server.grpc_port),
        ("HTTPService", server.http_port),
        ("Metrics Service", server.metrics_port),
    ):
        assert f"Started {name} at 127.0.0.1:{port}\n" in server.log


def test_a_stream_has_the_same_text_in_parts(server: Serving) -> None:
    whole = post(server, "generate", GREEDY).json()["text_output"]
    answer = post(server, "generate_stream", {**GREEDY, "id": "7", "parameters": {"stream": True, "temperature": 0}})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = [json.loads(event.removeprefix("data: ")) for event in answer.text.split("\n\n")[:-1]]
    assert len(events) > 1
    assert {(event["id"], event["model_name"], event["model_version"]) for event in events} == {("7", MODEL, "1")}
    assert PROMPT + "".join(event["text_output"] for event in events) == whole


def test_a_stream_that_is_none_is_one_event(server: Serving) -> None:
    whole = post(server, "generate", GREEDY).json()
    assert json.loads(post(server, "generate_stream", GREEDY).text.removeprefix("data: ")) == whole


def test_details_are_returned_when_asked_for(server: Serving) -> None:
    names = ("finish_reason", "cumulative_logprob", "logprobs", "num_input_tokens", "num_output_tokens")
    asked = {**GREEDY, **{f"return_{name}": True for name in names}, "max_tokens": 3, "n": 1}
    answer = post(server, "generate", asked).json()
    assert (answer["finish_reason"], answer["num_output_tokens"]) == ("length", 3)
    assert answer["num_input_tokens"] == len(PROMPT)  # the tiny model's tokens are bytes
    positions = json.loads(answer["logprobs"])
    assert len(positions) == 3
    chosen = [max(entry["logprob"] for entry in position.values()) for position in positions]
    assert answer["cumulative_logprob"] == pytest.approx(sum(chosen))


def test_several_answers_are_a_list(server: Serving) -> None:
    answer = post(server, "generate", {"text_input": "a", "n": 2, "max_tokens": 2, "seed": 1}).json()
    assert len(answer["text_output"]) == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", f"{MODEL}/generate", "{", 500, "failed to parse the request JSON buffer"),
        ("POST", f"{MODEL}/generate", "{}", 400, "[request id: <id_unknown>] expected number of inputs between 1 and"),
        ("POST", f"{MODEL}/generate", '{"text_input": 1}', 500, "Unable to parse JSON bytes array: attempt to access"),
        ("POST", f"{MODEL}/generate", '{"text_input": "a", "x": "1"}', 500, "Error generating stream: Unexpected"),
        ("POST", f"{MODEL}/generate", '{"text_input": "a", "stream": true}', 500, "generate expects model to produce"),
        ("POST", f"{MODEL}/generate", '{"text_input": "a", "temperature": -1}', 500, "Error generating stream: "),
        ("POST", f"{MODEL}/generate", f'{{"text_input": "{"a" * 5000}"}}', 500, "Error generating stream: "),
        ("POST", f"{MODEL}/generate", '{"text_input": "a", "lora_name": "x"}', 500, "Error generating stream: LoRA fe"),
        ("POST", f"{MODEL}/versions/2/generate", "{}", 404, f"Request for unknown model: '{MODEL}' version 2 is not"),
        ("POST", "nobody/generate", "{}", 404, "Request for unknown model: 'nobody' is not found"),
        ("POST", f"{MODEL}/infer", "{}", 500, "Unable to parse 'inputs': attempt to access non-e"),
        ("GET", f"{MODEL}/generate", "", 405, "Method Not Allowed"),
        ("POST", f"{MODEL}/config", "", 405, "Method Not Allowed"),
        ("GET", "nobody", "", 404, "Request for unknown model: 'nobody' is not found"),
        ("GET", "nobody/config", "", 404, "Request for unknown model: 'nobody' is not found"),
        ("GET", "nobody/stats", "", 400, "requested model 'nobody' is not available"),
        ("GET", "nobody/ready", "", 400, "Model version not ready"),
        ("GET", "../nowhere", "", 404, "Not Found"),
        ("POST", "../repository/models/x/load", "", 503, "load / unload of 'x' is not allowed"),
    ],
)
def test_errors(server: Serving, method: str, path: str, body: str, status: int, error: str) -> None:
    answer = httpx2.request(method, f"{server.url}/v2/models/{path}", content=body, timeout=60)
    assert answer.status_code == status
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].startswith(error)


def test_the_server_and_its_model_are_described(server: Serving) -> None:
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http_port}")
    assert (client.is_server_live(), client.is_server_ready(), client.is_model_ready(MODEL, "1")) == (True, True, True)
    assert client.get_server_metadata()["name"] == "triton"
    assert client.get_model_metadata(MODEL)["inputs"][0] == {"name": "text_input", "datatype": "BYTES", "shape": [1]}
    config = client.get_model_config(MODEL)
    assert (config["backend"], config["model_transaction_policy"]) == ("vllm", {"decoupled": True})
    assert config["input"][0]["dims"] == [1]
    assert client.get_model_repository_index() == [{"name": MODEL, "version": "1", "state": "READY"}]
    assert httpx2.get(f"{server.url}/v2/").json() == httpx2.get(f"{server.url}/v2").json()


def test_statistics_count_successes_and_failures(server: Serving) -> None:
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http_port}")
    (before,) = client.get_inference_statistics(MODEL)["model_stats"]
    post(server, "generate", GREEDY)
    post(server, "generate", {**GREEDY, "nonsense": 1})
    (after,) = client.get_inference_statistics()["model_stats"]
    counts = [
        after["inference_stats"][part]["count"] - before["inference_stats"][part]["count"]
        for part in ("success", "fail")
    ]
    assert counts == [1, 1]
    assert after["inference_count"] - before["inference_count"] == 1


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_infer_with_tritons_own_client(server: Serving, binary: bool, compression: str | None) -> None:
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http_port}")
    text = tritonclient.http.InferInput("text_input", [1], "BYTES")
    text.set_data_from_numpy(np.array([PROMPT.encode()], dtype=object), binary_data=binary)
    wanted = [tritonclient.http.InferRequestedOutput("text_output", binary_data=binary)]
    result = client.infer(
        MODEL, [text], outputs=wanted, parameters={"temperature": 0}, request_compression_algorithm=compression
    )
    (output,) = result.as_numpy("text_output")
    found = output.decode() if isinstance(output, bytes) else output
    assert found == post(server, "generate", GREEDY).json()["text_output"]


def test_infer_refuses_to_stream(server: Serving) -> None:
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http_port}")
    text, stream = (
        tritonclient.http.InferInput(name, [1], kind) for name, kind in (("text_input", "BYTES"), ("stream", "BOOL"))
    )
    text.set_data_from_numpy(np.array([b"a"], dtype=object))
    stream.set_data_from_numpy(np.array([True]))
    with pytest.raises(Exception, match="HTTP end point doesn't support models with decoupled transaction policy"):
        client.infer(MODEL, [text, stream])


def test_the_metrics_port_has_metrics_only(server: Serving) -> None:
    assert server.metric("vllm:prompt_tokens_total") > 0
    assert httpx2.get(f"http://127.0.0.1:{server.metrics_port}/v1/models").status_code == 404
